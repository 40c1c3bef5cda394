"""The licences that bind trained weights: gathered when a run is built, kept in its folder, stated by its export.

They are those of the base, of the samples, and of the weights of earlier runs that a run is given; these state their
own. A commercial run is refused by the same list.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pyarrow import ArrowException
from pydantic import TypeAdapter

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json
from pipelines.commercial import Use
from pipelines.licences.combined import LAYER_LICENCES, count_licences
from pipelines.licences.terms import UNKNOWN, licence_of, parts_of
from pipelines.shards.folder import find_shards

FILE = "licences.json"
"""File in the folder of a run, and in the export of a VAE or a base, that holds its `Licences`."""
_AT_ONCE = 64
"""Parquet indexes that are in memory at the same time."""
_DEPTH = 3
"""Number of folders, from a checkpoint or an export upwards, in which a run's file is looked for."""


@dataclass(frozen=True)
class Licences:
    """The licences that bind trained weights, by their names in `terms.csv`; `unknown` where none is stated.

    Attributes:
        base: licences of the weights that training started from.
        data: licences of the pictures that were trained on, also by earlier runs whose weights were taken over.
    """

    base: tuple[str, ...]
    data: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Write the file into a folder, which is made where it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


_STATED = TypeAdapter(Licences)
UNSTATED = Licences((UNKNOWN,), (UNKNOWN,))
"""Licences of weights that state none."""


def stated_licences(path: Path) -> Licences | None:
    """What a checkpoint, an export or a run states of itself, in its folder or just above; None where nothing does.

    Raises:
        ValueError: the file is damaged.
    """
    if (path / "adapter.json").is_file():  # A published adapter.
        from decoupage.publishing.folder import read_manifest  # Knows diffusers.

        manifest = read_manifest(path)
        return Licences((licence_of(manifest.base.name),), manifest.data_licences or (UNKNOWN,))
    for folder in (path, *path.resolve().parents[: _DEPTH - 1]):
        file = folder / FILE
        if file.is_file():
            try:
                return _STATED.validate_python(parse_json(file.read_bytes(), FILE))
            except (BadSetup, OSError, ValueError) as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"{file} is damaged ({reason}); restore it, or train the weights again") from error
    return None


@dataclass(frozen=True)
class Sources:
    """All that a run's weights are made from, each with its licence.

    Attributes:
        weights: the base, and the bases of earlier runs; data: pictures.
    """

    weights: tuple[Use, ...]
    data: tuple[Use, ...]

    @property
    def licences(self) -> Licences:
        """The licences of all of them."""
        return Licences(_names(self.weights), _names(self.data))

    @property
    def obstacles(self) -> list[str]:
        """Why a commercial run may not be made from them, one sentence for each reason; empty when it may."""
        return list(dict.fromkeys(use.obstacle for use in (*self.weights, *self.data) if use.obstacle))


def _names(uses: Iterable[Use]) -> tuple[str, ...]:
    return tuple(sorted({part or UNKNOWN for use in uses for part in parts_of(use.licence)}))


def base_uses(base: str, source: str | None) -> list[Use]:
    """A base, and the weights given instead of the published ones, for which a folder states no licence."""
    uses = [Use("the recipe's base", base, licence_of(base), "choose a recipe of a base that permits it")]
    if source:
        fix = "leave it out, or name a hub id that the ledger lists (pipelines/licences/ledger.csv)"
        uses.append(Use("training.base (--base)", source, licence_of(source), fix))
    return uses


def base_obstacles(base: str, source: str | None) -> list[str]:
    """Why a base may not be adapted by a commercial profile; empty when it may."""
    return [use.obstacle for use in base_uses(base, source) if use.obstacle]


def shard_uses(paths: Sequence[str]) -> Iterator[Use]:
    """The licences of shards, by their parquet indexes; where one is missing, `unknown`.

    Raises:
        BadSetup: a path holds no shards, or an index is damaged.
    """
    return _uses(paths, "layers of the shards")


def pair_uses(path: str) -> Iterator[Use]:
    """The same of the shards of before/after pairs in a folder."""
    return _uses([path], "before/after pairs", ["licence"])


def _uses(paths: Sequence[str], what: str, columns: Sequence[str] = LAYER_LICENCES) -> Iterator[Use]:
    key, fix = "training data (--data)", "make the data with a commercial profile"
    counts: Counter[str] = Counter()
    for path in paths:
        folder = find_shards(path)
        names = [f"{shard}.parquet" for shard in folder.shards]
        for first in range(0, len(names), _AT_ONCE):
            some = names[first : first + _AT_ONCE]
            for name, index in zip(some, folder.store.read_many(some), strict=True):
                if index is not None:
                    counts.update(_counted(index, folder.store.url(name), columns))
                else:
                    lost = f"a shard whose index {folder.store.url(name)} is missing, so its licences are unknown"
                    yield Use(key, lost, UNKNOWN, fix)
    for licence, number in sorted(counts.items()):
        yield Use(key, f"{number} {what}", licence, fix)


def _counted(index: bytes, where: str, columns: Sequence[str]) -> Counter[str]:
    """Licences of the rows of a shard's index. Raises BadSetup: it is damaged."""
    try:
        return Counter(count_licences(index, columns))
    except (ArrowException, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadSetup(f"{where} is damaged ({reason}); remove its shard's files and make it again") from error


def sources_of(
    base: str | None, source: str | None, data: Iterable[Use], earlier: Iterable[tuple[str, Path]]
) -> Sources:
    """All that a run is made from.

    Args:
        base, source: as for `base_uses`; None = the run starts from random weights.
        data: the samples' licences.
        earlier: (option that names it, path) of each export and checkpoint whose weights the run takes over.
    """
    weights, samples = base_uses(base, source) if base else [], list(data)
    fix = "leave it out, or make it with a commercial profile"
    for key, path in earlier:
        stated = stated_licences(path)
        name = str(path) if stated else f"{path}, which comes without a licence ({FILE})"
        stated = stated or UNSTATED
        weights += [Use(key, name, licence, fix) for licence in stated.base]
        samples += [Use(key, name, licence, fix) for licence in stated.data]
    return Sources(tuple(weights), tuple(samples))
