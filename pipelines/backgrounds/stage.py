"""The stage that indexes a folder of photographs: each is opened once, checked and recorded. Files stay in place."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from decoupage.faults import BadSetup
from decoupage.fingerprint import Recipe
from decoupage.images.reading import SUFFIXES
from decoupage.maps.segformer import Segformer
from decoupage.randomness import digest, hash64
from pipelines.backgrounds.attribution import FILE, Attribution, read_attributions
from pipelines.backgrounds.reader import Item, PhotographReader
from pipelines.backgrounds.things import ThingFilter, is_salient, salient_names
from pipelines.config import BackgroundConfig
from pipelines.library.foreign_files import sizes_bytes, warn_of_names
from pipelines.library.names import item_key
from pipelines.library.records import BackgroundRecord, schema_of
from pipelines.stages.manifest import CurrentByInputs
from pipelines.stages.store import Store

VERSION = 2
READING = "3"
"""Raised when the code reads or names some files otherwise: shards are then made again, and nothing has to be removed,
as it would be with another `VERSION`."""
_NO_RULES = {"folder", "openimages", "num_shards", "max_thing_share"}
"""Fields that do not decide a record: the list of files is an input, `max_thing_share` is part of `things`."""


@dataclass
class BackgroundsStage(CurrentByInputs):
    """The index of one folder of photographs.

    A folder of OpenImages holds the files that its `attribution.csv` names; any other, all pictures in it and below.

    Attributes:
        labeller: labels the pixels that show salient objects; None where the profile does not filter by them.
    """

    folder: Store
    config: BackgroundConfig
    source: str
    labeller: Segformer | None = None
    name: str = "backgrounds"
    schema = schema_of(BackgroundRecord)

    @property
    def recipe(self) -> Recipe:
        """Everything that decides a record."""
        rules = self.config.model_dump(mode="json", exclude=_NO_RULES)
        recipe: Recipe = {"version": VERSION, "source": self.source, "backgrounds": rules}
        if self.labeller:
            rule = {"max_share": self.config.max_thing_share, "salient": salient_names()}
            recipe["things"] = {**rule, **self.labeller.recipe}
        return recipe

    @property
    def layout(self) -> Recipe:
        """Number of shards; files are assigned to them by the hash of their names."""
        return {"num_shards": self.config.num_shards}

    @cached_property
    def task(self) -> PhotographReader | ThingFilter:
        """The reader of photographs, followed by the filter on salient objects where there is a labeller."""
        reader = PhotographReader(self.folder, self.config, self.source)
        return ThingFilter(reader, self.labeller, self.config.max_thing_share) if self.labeller else reader

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        files: dict[str, list[str]] = {shard: [] for shard in self.shards()}
        there = list(self._attributions) if self.config.source == "openimages" else self.folder.tree()
        for name in there:
            if name.lower().endswith(SUFFIXES):
                files[f"{hash64('background', item_key(name)) % self.config.num_shards:05d}"].append(name)
        if not any(files.values()):
            raise BadSetup(f"{self.folder.root} holds no pictures ({', '.join(SUFFIXES)}); set backgrounds.folder")
        otherwise = "files without a line count as of backgrounds.licence"
        warn_of_names(self.folder, there, FILE, self._attributions, otherwise)
        return files

    @cached_property
    def _attributions(self) -> dict[str, Attribution]:
        return read_attributions(self.folder)

    def shards(self) -> list[str]:
        """`00000`, ..."""
        return [f"{i:05d}" for i in range(self.config.num_shards)]

    def items(self, shard: str) -> Sequence[tuple[str, Item]]:
        """Names of the shard's files, with their attributions."""
        return [(item_key(file), (file, self._attributions.get(file))) for file in self._files[shard]]

    def inputs(self, shard: str) -> dict[str, str]:
        """Hash of names, sizes and attributions of the shard's files; photographs are not opened for it."""
        files = self._files[shard]
        sizes = sizes_bytes(self.folder, files)
        lines = [(file, size, self._attributions.get(file)) for file, size in zip(files, sizes, strict=True)]
        inputs = {"files": digest(*lines).hex(), "reading": READING}
        if self.labeller:
            inputs |= self.labeller.inputs()
            is_salient(self.labeller.id2label)  # Wrong classes are reported before work starts.
        return inputs
