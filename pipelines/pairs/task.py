"""Makes stored pairs of the pictures of a folder, in batches, as the makers of maps take them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from decoupage.faults import BadItem
from decoupage.fingerprint import canonical_json
from decoupage.maps.maker import MapMaker
from pipelines.config import ScenesConfig
from pipelines.library.comparison import Compared, published_ids
from pipelines.library.foreign_files import stay_inside
from pipelines.library.names import asset_id
from pipelines.licences.terms import why_not_commercial
from pipelines.pairs.cut import Cut, cut_out
from pipelines.pairs.evaluated import Evaluated, cutout, photograph
from pipelines.pairs.parts import PairParts
from pipelines.pairs.reading import Files, Pair, PairReader, names_a_file
from pipelines.scenes.parts import pixels_sha256
from pipelines.stages.run import Outcome
from pipelines.stages.store import Store

_AT_ONCE = 8
"""Pairs of a batch at least: they are compared with what is evaluated on together. Only their squares are kept."""


@dataclass(frozen=True)
class Item:
    """One pair of the folder.

    Attributes:
        name: what its files have in common.
        files: by role.
        origin: the photograph's name, by which lists of evaluation may know it; empty = not known.
        licence, attribution: of its pictures.
    """

    name: str
    files: Files
    origin: str
    licence: str
    attribution: str

    @property
    def paths(self) -> list[str]:
        """All its files."""
        return list(chain.from_iterable(self.files.values()))

    @property
    def key(self) -> str:
        """Key of the stored pair."""
        return asset_id("pair", self.name)

    @property
    def names(self) -> set[str]:
        """What a list of takedowns may call it."""
        return {self.name, self.key, *filter(None, [self.origin])}


@dataclass(frozen=True)
class _Ready:
    """A pair that was read and cut, with what of it is compared."""

    item: Item
    cut: Cut
    compared: tuple[Compared, ...]


@dataclass(frozen=True)
class PairTask:
    """A `BatchTask`: pairs of files -> stored pairs. Pictures are opened one pair at a time."""

    reader: PairReader
    scenes: ScenesConfig
    makers: tuple[MapMaker, ...]
    evaluated: Evaluated
    commercial: bool
    takedowns: frozenset[str]
    recipe_fingerprint: str

    @property
    def batch_size(self) -> int:
        """The largest of the makers'."""
        return max(_AT_ONCE, *(maker.batch_size for maker in self.makers))

    @property
    def in_process(self) -> bool:
        """Whether a maker keeps a network."""
        return any(maker.in_process for maker in self.makers)

    def many(self, items: Sequence[Item]) -> list[Outcome | BadItem]:
        """One result for each pair; see `docs/sources.md` for the reasons of those that are not used."""
        found = [self._ready(item) for item in items]
        leaks = self.evaluated.leaks([one for ready in found if isinstance(ready, _Ready) for one in ready.compared])
        kept: list[_Ready | BadItem] = []
        for ready in found:
            if isinstance(ready, _Ready) and (leak := leaks.get(ready.item.key)):
                kept.append(BadItem("leak", f"{leak}: evaluation shows it"))
            else:
                kept.append(ready)
        whole = [ready for ready in kept if isinstance(ready, _Ready)]
        maps = iter(self._maps([ready.cut for ready in whole]))
        return [ready if isinstance(ready, BadItem) else self._outcome(ready, next(maps)) for ready in kept]

    def _ready(self, item: Item) -> _Ready | BadItem:
        try:
            if listed := self.takedowns & item.names:
                raise BadItem("takedown", f"{sorted(listed)[0]} is listed in {self.evaluated.config.takedowns}")
            if self.commercial and (reason := why_not_commercial(item.licence)):
                raise BadItem("unlicensed", reason)
            pair = self._read(item)
            return _Ready(item, cut_out(pair, item.name, self.scenes), _compared(item, pair))
        except BadItem as fault:
            return fault

    def _read(self, item: Item) -> Pair:
        if names_a_file(item.name):  # Another name is refused by the reader.
            for path in item.paths:
                stay_inside(Store(str(self.reader.folder)), path)
        return self.reader.read(item.name, item.files)

    def _maps(self, cuts: Sequence[Cut]) -> list[dict[str, bytes]]:
        pictures = [cut.image for cut in cuts]
        made = {maker.name: maker.pngs(pictures) if pictures else [] for maker in self.makers}
        return [{f"{name}.png": pngs[i] for name, pngs in made.items()} for i in range(len(cuts))]

    def _outcome(self, ready: _Ready, maps: dict[str, bytes]) -> Outcome:
        item, cut = ready.item, ready.cut
        row: dict[str, Any] = {
            "key": item.key,
            "name": item.name,
            "scene": self.reader.layout.scene_of(item.name),
            "origin": item.origin,
            "licence": item.licence,
            "attribution": item.attribution,
            "size_px": self.scenes.size_px,
            "left_px": cut.crop[0],
            "top_px": cut.crop[1],
            "side_px": cut.crop[2],
            "mask_area_px": int(cut.mask.sum()),
            "has_foreground": cut.foreground is not None,
            "composite_sha256": pixels_sha256(cut.image),
        }
        # A pair is read as a scene of one target, about which nothing else is known.
        record = row | {"recipe": self.recipe_fingerprint, "files": item.files, "layers": [{}]}
        parts = PairParts.of(item.key, cut.image, cut.background, cut.mask, cut.foreground, record)
        members = parts.encode() | maps | {"json": canonical_json(record)}
        return Outcome({f"{item.key}.{suffix}": data for suffix, data in members.items()}, [row], assets=(item.key,))


def _compared(item: Item, pair: Pair) -> tuple[Compared, ...]:
    """The whole pictures of a pair. Of its own name only a published id counts: other names are local to the folder."""
    own = {item.key, *filter(None, [item.origin])}
    names = frozenset(own | published_ids({item.name, *own}))
    pictures = [photograph(item.key, names, rgb) for rgb in (pair.image, pair.background)]
    if pair.foreground is not None:
        pictures.append(cutout(item.key, names, pair.foreground))
    return tuple(pictures)
