"""The stage that makes shards of before/after pairs: each is read, checked, cut to the size of scenes, with its maps.

A pair's bytes depend on its pictures, its name and the recipe alone; its shard on its name and the number of shards.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from decoupage.fingerprint import Recipe, fingerprint
from decoupage.maps.maker import MapMaker
from decoupage.randomness import digest, hash64
from pipelines.backgrounds.attribution import FILE, Attribution, read_attributions
from pipelines.config import PairsConfig, ScenesConfig
from pipelines.config.pairs import LAYOUTS
from pipelines.library.foreign_files import sizes_bytes, warn_of_names
from pipelines.library.takedowns import read_takedowns
from pipelines.pairs.evaluated import Evaluated
from pipelines.pairs.reading import NEEDED, PairFiles, PairReader, told_name
from pipelines.pairs.task import Item, PairTask
from pipelines.stages.manifest import CurrentByInputs
from pipelines.stages.store import Store

PAIRS = "pairs"
"""The stage's folder in a root."""
VERSION = 1
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "name", "scene", "origin", "licence", "attribution")),
        *((name, pa.int64()) for name in ("size_px", "left_px", "top_px", "side_px", "mask_area_px")),
        ("has_foreground", pa.bool_()),
        ("composite_sha256", pa.string()),
    ]
)
"""One row per pair; left, top and side are the square in pixels of the upright pictures."""


@dataclass
class PairsStage(CurrentByInputs):
    """The pairs of one folder of this machine.

    Attributes:
        config: which folder, and its layout.
        scenes: how large pairs are cut, and by which seed.
        makers: make the maps of the pictures with the object.
        evaluated: the pictures that no pair may show.
        commercial: whether only pairs enter whose licence permits commercial use.
    """

    config: PairsConfig
    scenes: ScenesConfig
    makers: tuple[MapMaker, ...]
    evaluated: Evaluated
    commercial: bool
    name: str = PAIRS
    schema = SCHEMA

    @property
    def recipe(self) -> Recipe:
        """Everything that decides a pair, besides its pictures and what is evaluated on."""
        cut = {"size_px", "seed", "max_background_crop", "max_background_enlargement"}
        return {
            "version": VERSION,
            "layout": LAYOUTS[self.config.layout].model_dump(mode="json"),
            "licence": self.config.licence,
            "scenes": self.scenes.model_dump(mode="json", include=cut),
            "makers": {maker.name: maker.recipe for maker in self.makers},
            "duplicate_distance_bits": self.evaluated.config.duplicate_distance_bits,
            "commercial": self.commercial,
        }

    @property
    def layout(self) -> Recipe:
        """Number of shards; pairs are assigned to them by the hash of their names."""
        return {"num_shards": self.config.num_shards}

    @cached_property
    def task(self) -> PairTask:
        """Makes pairs."""
        return PairTask(
            *(self._reader, self.scenes, self.makers, self.evaluated, self.commercial, self._takedowns),
            fingerprint(self.recipe),
        )

    def shards(self) -> list[str]:
        """`00000`, ..."""
        return [f"{i:05d}" for i in range(self.config.num_shards)]

    def items(self, shard: str) -> Iterator[tuple[str, Item]]:
        """The pairs of a shard by name; their files are listed, not opened."""
        for name in self._names[shard]:
            yield told_name(name), self._item(name)

    def inputs(self, shard: str) -> dict[str, str]:
        """Hashes of the names, sizes and attributions of a shard's files, of what is evaluated on, of the makers'.

        Of takedowns those count that name a pair of the shard.

        Raises:
            BadSetup: the folder, the library or the list of takedowns is not there, or the first two hold nothing.
        """
        found = {"files": self.files_sha256(shard), "evaluated": self.evaluated.sha256}
        if listed := sorted(set().union(*(self._takedowns & self._item(name).names for name in self._names[shard]))):
            found["takedowns"] = digest(*listed).hex()
        for maker in self.makers:
            found |= {f"{maker.name}.{key}": value for key, value in maker.inputs().items()}
        return found

    def version(self) -> str:
        """Hash of names, sizes and attributions of all files of the folder as it is now."""
        now = replace(self)  # Lists the folder again.
        return digest(*map(now.files_sha256, now.shards())).hex()[:16]

    def files_sha256(self, shard: str) -> str:
        """Hash of names, sizes and attributions of a shard's files."""
        items = map(self._item, self._names[shard])
        # In ASCII, because a name may be none in UTF-8.
        return digest(*(ascii((item, sizes_bytes(self._store, item.paths))) for item in items)).hex()

    @cached_property
    def _takedowns(self) -> frozenset[str]:
        return read_takedowns(self.evaluated.config)

    @property
    def _store(self) -> Store:
        return Store(self.config.folder)

    @property
    def _reader(self) -> PairReader:
        return PairReader(Path(self.config.folder), LAYOUTS[self.config.layout])

    @cached_property
    def _files(self) -> PairFiles:
        reader = self._reader
        return PairFiles.of(reader.folder, reader.layout, "pairs.folder", "choose another pairs.layout")

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {shard: [] for shard in self.shards()}
        for name in self._files.names:
            names[f"{hash64('pair', ascii(name)) % self.config.num_shards:05d}"].append(name)
        return names

    @cached_property
    def _attributions(self) -> dict[str, Attribution]:
        found = read_attributions(self._store)
        if found:
            there = [path for role in self._files.by_role.values() for paths in role.values() for path in paths]
            warn_of_names(self._store, there, FILE, found, "pairs without a line count as of pairs.licence")
        return found

    def _item(self, name: str) -> Item:
        """What is said of the pictures with and without the object holds for the pair; of two licences, both."""
        files = self._files.of_pair(name)
        paths = [path for role in NEEDED for path in files.get(role, ())]
        lines = [self._attributions[path] for path in paths if path in self._attributions]
        licences = dict.fromkeys(line.licence or self.config.licence for line in lines)
        return Item(
            name=name,
            files=files,
            origin=next((line.origin for line in lines if line.origin), ""),
            licence=" AND ".join(licences) or self.config.licence,
            attribution="; ".join(dict.fromkeys(line.attribution for line in lines if line.attribution)),
        )
