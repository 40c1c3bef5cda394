"""The licences in finished shards, and the one under which a set of works may be passed on as a whole."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.licences.terms import UNKNOWN, Terms, find_terms, parts_of, why_not_commercial
from pipelines.stages.manifest import read_manifests
from pipelines.stages.store import Store

NONE = "none"
"""No licence can be given: the terms contradict each other, are not known, or permit no derivatives."""
_NO_LICENCE = "no licence"
_NO_TERMS = {_NO_LICENCE: "a part states no licence", UNKNOWN: "the licence of a part is unknown"}
LAYER_LICENCES = ("foreground_licence", "background_licence")


@dataclass(frozen=True)
class Combined:
    """The licence of a set of works.

    Attributes:
        licence: an SPDX-like expression, or `none`.
        commercial: True when all parts permit commercial use.
        attribution, share_alike: True when a part requires it.
        unknown: licences whose terms are not in `terms.csv`.
        obstacles: a sentence for each reason why no licence can be given.
    """

    licence: str
    commercial: bool
    attribution: bool
    share_alike: bool
    unknown: tuple[str, ...]
    obstacles: tuple[str, ...]


def combined_licence(licences: Iterable[str]) -> Combined:
    """The licence of a set of works, at most as free as its least free part.

    A part under a share-alike licence puts the whole under that licence, as far as the others allow it: works that
    require only attribution may be passed on under it; works under another share-alike licence, or with restrictions
    that it does not have, may not.

    Args:
        licences: the parts' licences, in any spelling; an expression with `AND` counts as several.
    """
    names = sorted({part for licence in licences for part in parts_of(licence)})
    known = [terms for name in names if (terms := find_terms(name)) is not None]
    unknown = tuple(name or _NO_LICENCE for name in names if find_terms(name) is None)
    obstacles = [_NO_TERMS.get(name, f"the terms of {name} are not known") for name in unknown]
    obstacles += [f"{terms.licence} forbids derivatives" for terms in known if not terms.derivatives]
    sharing = _newest([terms for terms in known if terms.share_alike])
    if len(sharing) > 1:
        obstacles.append(f"{' and '.join(t.licence for t in sharing)} each require the whole to be under it")
    for terms in known:
        if sharing and sharing[0].commercial and not terms.commercial:
            obstacles.append(f"{sharing[0].licence} permits commercial use of the whole, {terms.licence} forbids it")
    return Combined(
        licence=NONE if obstacles else _expression(known, sharing),
        commercial=not any(why_not_commercial(name) for name in names),
        attribution=any(terms.attribution for terms in known),
        share_alike=bool(sharing),
        unknown=unknown,
        obstacles=tuple(obstacles),
    )


def _newest(sharing: list[Terms]) -> list[Terms]:
    """The newest version of each share-alike licence, because Creative Commons' allow passing on under a later one."""
    by_kind: dict[str, Terms] = {}
    for terms in sorted(sharing, key=lambda terms: terms.licence):
        by_kind[terms.licence.rpartition("-")[0]] = terms
    return list(by_kind.values())


def _expression(known: list[Terms], sharing: list[Terms]) -> str:
    """The expression of the licences to comply with: the share-alike licence replaces those that it may absorb."""

    def absorbed(terms: Terms) -> bool:
        if terms.share_alike:
            return terms not in sharing
        covered = not terms.attribution or (bool(sharing) and _is_plain(terms))
        return covered and len(known) > 1

    kept = [terms.licence for terms in known if not absorbed(terms)]
    return " AND ".join(kept) or (known[0].licence if known else NONE)


def _is_plain(terms: Terms) -> bool:
    """True for licences that require attribution at most, or nothing beyond what Creative Commons NC-SA requires."""
    return "openrail" not in terms.licence and (terms.commercial or terms.licence.startswith("cc-by-nc-"))


@dataclass(frozen=True)
class ShardLicences:
    """The licences in one shard.

    Attributes:
        recipe: fingerprint of the recipe that made it; empty where it has no manifest.
        layers: licence -> number of layers whose foreground or background is under it.
    """

    recipe: str
    layers: Mapping[str, int]


def read_licences(store: Store, folder: str) -> Iterator[tuple[str, ShardLicences]]:
    """(shard, licences) of every shard in a folder of a root, also of shards that the profile no longer plans.

    Raises:
        BadSetup: an index is damaged.
    """
    shards = [name.removesuffix(".parquet") for name in store.names(folder, ".parquet")]
    tables = store.read_tables([f"{folder}/{shard}.parquet" for shard in shards], list(LAYER_LICENCES))
    for shard, manifest, table in zip(shards, read_manifests(store, folder, shards), tables, strict=True):
        yield shard, ShardLicences(manifest.fingerprint if manifest else "", _count(table))


def count_licences(index_parquet: bytes, columns: Sequence[str] = LAYER_LICENCES) -> dict[str, int]:
    """Count the licences in a shard's parquet index: licence -> number of layers under it.

    Args:
        index_parquet: the file.
        columns: that state a licence; of pairs it is `licence`.
    """
    return _count(pq.read_table(io.BytesIO(index_parquet), columns=list(columns)), columns)


def _count(index: pa.Table, columns: Sequence[str] = LAYER_LICENCES) -> dict[str, int]:
    rows = index.to_pylist()
    return dict(Counter(licence for row in rows for licence in {row[column] or "" for column in columns}))
