"""The sources of a profile: where foregrounds and backgrounds come from, and the stages that read them.

`factory.py` adds all that is made of them.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from pipelines.backgrounds.layouts import LayoutSource, LayoutsStage, network_source
from pipelines.backgrounds.openimages.fetch import PhotographsReport, fetch_openimages, files_to_keep
from pipelines.backgrounds.stage import BackgroundsStage
from pipelines.backgrounds.things import make_labeller
from pipelines.commercial import require_permitted
from pipelines.config import DataConfig
from pipelines.foregrounds.generated_stage import GeneratedForegrounds
from pipelines.foregrounds.mulan.source import TREE, MulanSource, Observation
from pipelines.foregrounds.mulan.stage import MulanForegrounds
from pipelines.foregrounds.own.stage import OwnCutouts
from pipelines.foregrounds.prompts import read_prompts
from pipelines.stages.run import Stage
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder

MULAN_TREE = "sources/mulan"
PHOTOGRAPHS = "sources/photographs"
OPENIMAGES = "sources/openimages"


@dataclass(frozen=True)
class Sources:
    """The sources of one profile over one store.

    Attributes:
        config: all data sections of the profile.
        store: the root.
        layout_source: says what photographs show, where layers are placed by it; None = the networks of the maps.
    """

    config: DataConfig
    store: Store
    layout_source: LayoutSource | None = None

    @property
    def _mulan_tree(self) -> WorkingFolder | None:  # None: MULAN lies in folders of this machine.
        return WorkingFolder(self.store, MULAN_TREE) if self.config.mulan.source == "packaged" else None

    @property
    def _mulan_paths(self) -> tuple[Path, Path]:
        if (tree := self._mulan_tree) is not None:
            return tree.path / "annotations", tree.path / "images"
        return Path(self.config.mulan.annotations), Path(self.config.mulan.images)

    @property
    def mulan_folders(self) -> tuple[Path, Path]:
        """(annotations, images) of the MULAN tree, as this machine has them after what is missing was copied."""
        if (tree := self._mulan_tree) is not None:
            tree.fetch(*TREE)
        return self._mulan_paths

    @property
    def photographs(self) -> Store:
        """The folder of background photographs; any machine of a cluster reads it."""
        inside = {"packaged": PHOTOGRAPHS, "openimages": OPENIMAGES}.get(self.config.backgrounds.source)
        return Store(self.store.url(inside) if inside else self.config.backgrounds.folder)

    def fetch_photographs(self) -> PhotographsReport | None:
        """Fetch what the profile asks for of OpenImages and is not there; None where it asks for nothing."""
        if self.config.backgrounds.source != "openimages":
            return None
        require_permitted(self.config)
        (folder := WorkingFolder(self.store, OPENIMAGES)).fetch()
        report = fetch_openimages(self.config.backgrounds.openimages, folder.path)
        folder.put(*files_to_keep(folder.path))
        return report

    def write_packaged_sources(self) -> None:
        """Write the demo's MULAN tree and photographs, where the profile asks for them and they are not there."""
        from pipelines.packaged.mulan_tree import write_mulan_tree
        from pipelines.packaged.photographs import write_photographs

        for source, path, write in (
            (self.config.mulan.source, MULAN_TREE, write_mulan_tree),
            (self.config.backgrounds.source, PHOTOGRAPHS, write_photographs),
        ):
            # The mark is written last: a folder without it was interrupted.
            if source == "packaged" and not self.store.exists(f"{path}.complete"):
                write(self.store.url(path))
                self.store.write(f"{path}.complete", b"")

    @property
    def mulan_source(self) -> MulanSource:
        """The MULAN tree itself."""
        return MulanSource(self.config.mulan, *self._mulan_paths, self.store, self._mulan_tree)

    def observe_mulan(self) -> Observation:
        """Look through MULAN, fetch the photographs that the profile asks for, settle which ones are for testing."""
        self.write_packaged_sources()
        return self.mulan_source.observe()

    @cached_property
    def mulan_foregrounds(self) -> MulanForegrounds:
        """Foregrounds of the MULAN tree."""
        mulan, split = self.config.mulan, self.mulan_source.split
        return MulanForegrounds(
            *(*self._mulan_paths, self.config.gates, mulan.num_shards, mulan.laion, split),
            *(mulan.coco.info, mulan.licences, self._mulan_tree),
        )

    @cached_property
    def own_cutouts(self) -> OwnCutouts:
        """Foregrounds of a user's own cutouts."""
        cutouts = self.config.cutouts
        return OwnCutouts(Store(cutouts.folder), cutouts, self.config.gates)

    @cached_property
    def generated_foregrounds(self) -> GeneratedForegrounds:
        """Foregrounds generated from prompts."""
        read = partial(read_prompts, self.config, self.store)
        return GeneratedForegrounds(self.config.generated, self.config.gates, read, store=self.store)

    @property
    def foreground_sources(self) -> list[Stage]:
        """The stages that foregrounds come from."""
        mulan: list[Stage] = [] if self.config.mulan.source == "none" else [self.mulan_foregrounds]
        own: list[Stage] = [] if self.config.cutouts.source == "none" else [self.own_cutouts]
        return [*mulan, *own, self.generated_foregrounds]

    @cached_property
    def backgrounds(self) -> BackgroundsStage:
        """The index over the photographs."""
        backgrounds = self.config.backgrounds
        labeller = make_labeller(backgrounds.max_thing_share, self.config.maps.segmentation)
        return BackgroundsStage(self.photographs, backgrounds, backgrounds.source, labeller)

    @cached_property
    def layouts(self) -> LayoutsStage | None:
        """What each photograph of the index can carry; None where layers are placed freely.

        Raises:
            BadSetup: the profile's segmentation has no classes.
        """
        if self.config.scenes.placement.kind == "free":
            return None
        source = self.layout_source or network_source(self.config.maps)
        return LayoutsStage(self.store, self.photographs, self.backgrounds, source)
