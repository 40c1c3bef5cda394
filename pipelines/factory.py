"""All stages of a profile, put together: the one place that knows which stage reads what.

The assets and the command line both build on this, so they make the same bytes.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from decoupage.maps.choose import make_makers
from pipelines.backgrounds.layouts import LayoutSource, LayoutsStage, network_source
from pipelines.backgrounds.openimages.fetch import PhotographsReport, fetch_openimages, files_to_keep
from pipelines.backgrounds.stage import BackgroundsStage
from pipelines.backgrounds.things import make_labeller
from pipelines.commercial import require_permitted
from pipelines.config import DataConfig, ScenesConfig
from pipelines.engines import make_engine
from pipelines.foregrounds.generated_stage import GeneratedForegrounds
from pipelines.foregrounds.mulan.source import TREE, MulanSource, Observation
from pipelines.foregrounds.mulan.stage import MulanForegrounds
from pipelines.foregrounds.prompts import read_prompts
from pipelines.library.catalogue import (
    CatalogueReport,
    build_catalogue,
    read_backgrounds,
    read_foregrounds,
    unmatched_lines,
)
from pipelines.library.layout import with_layouts
from pipelines.library.records import BackgroundRecord, ForegroundRecord, Split
from pipelines.maps.stage import MapStage
from pipelines.masks.stage import MaskStage
from pipelines.pairs.evaluated import Evaluated
from pipelines.pairs.stage import PairsStage
from pipelines.scenes.stage import ScenesStage
from pipelines.shards.join import ShardJoin
from pipelines.stages.engine import Engine
from pipelines.stages.run import Report, Stage, run_stage
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder

log = logging.getLogger(__name__)
MULAN_TREE = "sources/mulan"
PHOTOGRAPHS = "sources/photographs"
OPENIMAGES = "sources/openimages"
HELD_OUT = "held_out"
"""Folder of the test split; `find_shards` and `read_triplets` take it as a dataset's root."""
REAL_ONLY = "real_only"
"""Folder of the training scenes without generated foregrounds; a dataset's root, too."""


@dataclass(frozen=True)
class Dataset:
    """The stages of one dataset: scenes, their masks and maps (by name), and the shards that join them."""

    scenes: ScenesStage
    masks: MaskStage
    maps: dict[str, MapStage]
    shards: ShardJoin

    @property
    def stages(self) -> list[Stage]:
        """All, in the order in which they run."""
        return [self.scenes, self.masks, *self.maps.values(), self.shards]


@dataclass(frozen=True)
class Factory:
    """The stages of one profile over one store.

    Attributes:
        config: all data sections of the profile.
        store: the root.
        layout_source: says what photographs show, where layers are placed by it; None = the networks of the maps.
    """

    config: DataConfig
    store: Store
    layout_source: LayoutSource | None = None

    @cached_property
    def engine(self) -> Engine:
        """The engine that the profile names. Raises BadSetup when Ray is absent or its address does not answer."""
        return make_engine(self.config.engine)

    def run(self, stage: Stage, shards: Sequence[str] | None = None) -> Report:
        """Run one stage on the profile's engine; see `run_stage`."""
        require_permitted(self.config)
        return run_stage(stage, self.store, self.engine, shards)

    # ---- sources

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
    def generated_foregrounds(self) -> GeneratedForegrounds:
        """Foregrounds generated from prompts."""
        read = partial(read_prompts, self.config, self.store)
        return GeneratedForegrounds(self.config.generated, self.config.gates, read, store=self.store)

    @property
    def foreground_sources(self) -> list[Stage]:
        """The stages that foregrounds come from."""
        found: list[Stage] = [self.generated_foregrounds]
        return found if self.config.mulan.source == "none" else [self.mulan_foregrounds, *found]

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

    # ---- library

    def foreground_library(self) -> CatalogueReport[ForegroundRecord]:
        """Build the catalogue of foregrounds."""
        require_permitted(self.config)
        stages = [stage.name for stage in self.foreground_sources]
        records = [record for stage in stages for record in read_foregrounds(self.store, stage)]
        return build_catalogue(self.store, records, self.config.library, self.config.licences, self.photographs)

    def background_library(self) -> CatalogueReport[BackgroundRecord]:
        """Build the catalogue of backgrounds."""
        require_permitted(self.config)
        records = read_backgrounds(self.store, self.backgrounds.name)
        if self.layouts:
            records = with_layouts(self.store, records, self.layouts.shards())
        return build_catalogue(self.store, records, self.config.library, self.config.licences, self.photographs)

    # ---- pairs, scenes, masks, maps, shards

    @cached_property
    def pairs(self) -> PairsStage | None:
        """Before/after pairs, which follow the library; None where the profile has none."""
        config = self.config
        if config.pairs.source == "none":
            return None
        evaluated = Evaluated(self.store, self.photographs, config.library)
        return PairsStage(config.pairs, config.scenes, make_makers(config.maps), evaluated, config.licences.commercial)

    @cached_property
    def training(self) -> Dataset:
        """The dataset that is trained on."""
        return self._dataset("", self.config.scenes, "train")

    @property
    def scenes(self) -> ScenesStage:
        """Training scenes."""
        return self.training.scenes

    @property
    def shards(self) -> ShardJoin:
        """Training scenes, masks and maps side by side."""
        return self.training.shards

    @cached_property
    def held_out(self) -> Dataset:
        """The dataset for testing: as that for training, from the library's `test` split alone."""
        scenes = self.config.scenes.model_copy(update=self.config.held_out.model_dump())
        return self._dataset(f"{HELD_OUT}/", scenes, "test")

    @cached_property
    def real_only(self) -> Dataset:
        """The training dataset planned without generated foregrounds: the same number of scenes, by the same seed."""
        scenes = self.config.scenes.model_copy(update={"generated_share": 0.0})
        return self._dataset(f"{REAL_ONLY}/", scenes, "train")

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """All that the profile can make."""
        return self.training, self.held_out, self.real_only

    def _dataset(self, folder: str, config: ScenesConfig, split: Split) -> Dataset:
        scenes = ScenesStage(self.store, self.photographs, config, split, f"{folder}scenes")
        masks = MaskStage(self.config.masks, self.store, scenes, f"{folder}masks")
        makers = make_makers(self.config.maps)
        maps = {maker.name: MapStage(maker, self.store, scenes, f"{folder}{maker.name}") for maker in makers}
        joined = ShardJoin(self.store, scenes, masks, list(maps.values()), f"{folder}shards")
        return Dataset(scenes, masks, maps, joined)

    # ---- all of it, in order; what is done is skipped

    def make_library(self) -> list[Report]:
        """Sources and both catalogues."""
        require_permitted(self.config)
        layouts = [self.layouts] if self.layouts else []  # A segmentation without classes stops here,
        _ = self.engine  # and an engine that does not answer.
        self.write_packaged_sources()
        if self.config.mulan.source != "none":
            self.observe_mulan()
        self.fetch_photographs()
        reports = [self.run(stage) for stage in (*self.foreground_sources, self.backgrounds, *layouts)]
        self.foreground_library()
        self.background_library()
        for missed in unmatched_lines(self.store):
            log.warning("%s", missed.sentence)
        return reports

    def make_shards(self) -> list[Report]:
        """Everything up to the shards of training, and the pairs."""
        return self._make(self.training) + ([self.run(self.pairs)] if self.pairs else [])

    def make_held_out(self) -> list[Report]:
        """Everything up to the shards of testing, under `held_out/`.

        Raises:
            BadSetup: the library holds nothing for testing.
        """
        return self._make(self.held_out)

    def make_real_only(self) -> list[Report]:
        """Everything up to the shards without generated foregrounds, under `real_only/`.

        Raises:
            BadSetup: the library holds no real foreground.
        """
        return self._make(self.real_only)

    def _make(self, dataset: Dataset) -> list[Report]:
        return self.make_library() + [self.run(stage) for stage in dataset.stages]
