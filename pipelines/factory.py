"""All stages of a profile, put together: the one place that knows which stage reads what.

The assets and the command line both build on this, so they make the same bytes.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from decoupage.maps.choose import make_makers
from pipelines.commercial import require_permitted
from pipelines.config import ScenesConfig
from pipelines.engines import make_engine
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
from pipelines.sources import Sources
from pipelines.stages.engine import Engine
from pipelines.stages.run import Report, Stage, run_stage

log = logging.getLogger(__name__)
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
class Factory(Sources):
    """The stages of one profile over one store: those of its sources, and all that is made of them."""

    @cached_property
    def engine(self) -> Engine:
        """The engine that the profile names. Raises BadSetup when Ray is absent or its address does not answer."""
        return make_engine(self.config.engine)

    def run(self, stage: Stage, shards: Sequence[str] | None = None) -> Report:
        """Run one stage on the profile's engine; see `run_stage`."""
        require_permitted(self.config)
        return run_stage(stage, self.store, self.engine, shards)

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
    def masks(self) -> MaskStage:
        """Imperfect masks of the training scenes."""
        return self.training.masks

    @property
    def maps(self) -> dict[str, MapStage]:
        """Edges, segmentation and depth of the training composites, by name."""
        return self.training.maps

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
        return self._dataset(f"{REAL_ONLY}/", self.config.scenes.without_generated(), "train")

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
