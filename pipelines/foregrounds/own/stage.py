"""The stage that takes up a folder of a user's own cutouts: each is opened once, filtered, measured and stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from decoupage.faults import BadSetup
from decoupage.fingerprint import Recipe
from decoupage.images.reading import SUFFIXES
from decoupage.randomness import digest, hash64
from decoupage.requirements import Requirement
from pipelines.backgrounds.attribution import FILE, Attribution, read_attributions
from pipelines.config import CutoutsConfig, GateConfig
from pipelines.foregrounds.gates import gates_recipe
from pipelines.foregrounds.own.files import CutoutFile, find_cutouts
from pipelines.foregrounds.own.reader import CutoutReader, Item
from pipelines.library.foreign_files import sizes_bytes, warn_of_names
from pipelines.library.names import item_key
from pipelines.library.records import ForegroundRecord, schema_of
from pipelines.stages.manifest import CurrentByInputs
from pipelines.stages.store import Store

VERSION = 1
"""Raised when a change of the code changes the bytes of foregrounds."""


def requirements(config: CutoutsConfig) -> list[Requirement]:
    """The folder, where the profile names one."""
    if config.source == "none":
        return []
    there = Path(config.folder).is_dir() or Store(config.folder).names("") != []
    fix = "put cutouts there, or set DECOUPAGE__CUTOUTS__FOLDER=FOLDER"
    return [Requirement("cutouts.folder", there, config.folder, fix)]


@dataclass
class OwnCutouts(CurrentByInputs):
    """Foregrounds of a folder of cutouts; a `pipelines.stages.run.Stage`. Its files stay as they are."""

    folder: Store
    config: CutoutsConfig
    gates: GateConfig
    name: str = "foregrounds/cutouts"
    schema = schema_of(ForegroundRecord)

    @property
    def recipe(self) -> Recipe:
        """Everything that decides a foreground, besides its files."""
        rules = {"completeness": self.config.completeness, "licence": self.config.licence}
        return {"version": VERSION, "gates": gates_recipe(self.gates), **rules}

    @property
    def layout(self) -> Recipe:
        """Number of shards; cutouts are assigned to them by the hash of their names."""
        return {"num_shards": self.config.num_shards}

    @property
    def task(self) -> CutoutReader:
        """See CutoutReader."""
        return CutoutReader(self.folder, self.config, self.gates)

    def shards(self) -> list[str]:
        """`00000`, ..."""
        return [f"{i:05d}" for i in range(self.config.num_shards)]

    def items(self, shard: str) -> Sequence[tuple[str, Item]]:
        """The shard's cutouts, with their attributions."""
        return [(item_key(file.path), (file, self._attributions.get(file.path))) for file in self._files[shard]]

    def inputs(self, shard: str) -> dict[str, str]:
        """Hash of names, sizes and attributions of the shard's files; pictures are not opened for it.

        Raises:
            BadSetup: the folder holds no picture, or `attribution.csv` cannot be read.
        """
        files = self._files[shard]
        names = [name for file in files for name in (file.path, *file.alphas)]
        sizes = dict(zip(names, sizes_bytes(self.folder, names), strict=True))
        lines = [(*((name, sizes[name]) for name in (file.path, *file.alphas)), file.category) for file in files]
        attributions = [self._attributions.get(file.path) for file in files]
        return {"files": digest(*lines).hex(), "attributions": digest(*attributions).hex()}

    def version(self) -> str:
        """Hash of all names, sizes and attributions, as the folder is now. Raises as `inputs`."""
        now = OwnCutouts(self.folder, self.config, self.gates)
        return digest(*(now.inputs(shard) for shard in now.shards())).hex()[:16]

    @cached_property
    def _files(self) -> dict[str, list[CutoutFile]]:
        files: dict[str, list[CutoutFile]] = {shard: [] for shard in self.shards()}
        there = self.folder.tree()
        for file in find_cutouts(there, self.config.alphas):
            files[f"{hash64('cutout', item_key(file.path)) % self.config.num_shards:05d}"].append(file)
        if not any(files.values()):
            raise BadSetup(f"{self.folder.root} holds no pictures ({', '.join(SUFFIXES)}); set cutouts.folder")
        otherwise = "files without a line count as of cutouts.licence"
        warn_of_names(self.folder, there, FILE, self._attributions, otherwise)
        return files

    @cached_property
    def _attributions(self) -> dict[str, Attribution]:
        return read_attributions(self.folder)
