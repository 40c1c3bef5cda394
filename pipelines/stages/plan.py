"""Which shards a stage's folder is to hold: a file in `plans/` beside it; and the shards beyond that.

Every run of a stage writes its plan down, so that readers of the folder, who have no profile, know it: a lowered number
of scenes leaves shards of a larger plan on the disk.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from decoupage.faults import BadSetup
from pipelines.stages.store import Store

PLANS = "plans"
"""Folder beside those of the stages, with a file for each: a larger number of scenes changes nothing in theirs."""
_SHARD = re.compile(r"[0-9]{1,12}")
_SHARD_FILE = re.compile(r"([0-9]{1,12})\.(tar|parquet|json)")


def is_shard(name: object) -> bool:
    """True for a shard's number: one to twelve digits."""
    return isinstance(name, str) and bool(_SHARD.fullmatch(name))


def shards_there(store: Store, folder: str) -> list[str]:
    """The shards of a folder, in order; each has at least one of `.tar`, `.parquet` and `.json`."""
    matches = (_SHARD_FILE.fullmatch(name) for name in store.names(folder))
    return sorted({match[1] for match in matches if match})


def _place(store: Store, folder: str) -> tuple[Store, str] | None:
    """(store, path) of a folder's plan; a store rooted at the folder has it beside its root; a bucket has none."""
    above, _, name = store.url(folder).rpartition("/")
    return None if above.endswith(":/") else (Store(above or "/"), f"{PLANS}/{name}.json")


def write_plan(store: Store, stage: str, shards: Sequence[str]) -> None:
    """Write the plan of a stage (`plans/<stage>.json`), unless it says the same already."""
    place = _place(store, stage)
    assert place is not None
    there, path = place
    data = json.dumps({"shards": list(shards)}).encode()
    if there.read_many([path]) != [data]:
        there.write(path, data)


def read_plan(store: Store, folder: str) -> frozenset[str] | None:
    """The shards that a folder is to hold; None where no run wrote it down.

    Raises:
        BadSetup: the file is damaged.
    """
    if (place := _place(store, folder)) is None:
        return None
    there, path = place
    try:
        return _shards(there.read_json(path))
    except FileNotFoundError:
        return None
    except (BadSetup, KeyError, TypeError, ValueError) as error:
        raise BadSetup(
            f"{there.url(path)} is not a list of planned shards ({error}); remove it, and the next run writes it"
        ) from error


def _shards(told: Any) -> frozenset[str]:
    shards = told["shards"]
    if not isinstance(shards, list) or not all(is_shard(shard) for shard in shards):
        raise ValueError("`shards` must be a list of numbers such as 00000")
    return frozenset(shards)


def beyond(store: Store, folder: str, planned: Collection[str]) -> tuple[str, ...]:
    """The shards that lie in a folder and are not planned, in order."""
    return tuple(shard for shard in shards_there(store, folder) if shard not in planned)


def named(shards: Sequence[str]) -> str:
    """Shards for a message: the first and the last of many."""
    return ", ".join(shards) if len(shards) < 4 else f"{shards[0]} to {shards[-1]}"
