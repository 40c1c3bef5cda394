"""The data sections of a profile: their fields, units and allowed ranges.

The numbers are in `configs/*.toml`, and `profiles/profile.py` reads them.
"""

import math

from pydantic import model_validator

from decoupage.maps.config import DepthConfig, EdgesConfig, MapsConfig, SegmentationConfig
from decoupage.settings import Pixels, Section, Share, Weight
from pipelines.config.backgrounds import BackgroundConfig, OpenImagesConfig
from pipelines.config.build import ChecksConfig, EngineConfig, LibraryConfig, LicencesConfig
from pipelines.config.foregrounds import CutoutsConfig, GateConfig, GeneratedConfig, MulanConfig, PromptsConfig
from pipelines.config.masks import MaskErrorConfig, MasksConfig
from pipelines.config.pairs import PairsConfig
from pipelines.config.scenes import (
    BorderConfig,
    HeldOutConfig,
    OcclusionConfig,
    PlacementConfig,
    ScenesConfig,
    SizeConfig,
)

__all__ = [
    "BackgroundConfig",
    "BorderConfig",
    "ChecksConfig",
    "CutoutsConfig",
    "DataConfig",
    "DepthConfig",
    "EdgesConfig",
    "EngineConfig",
    "GateConfig",
    "GeneratedConfig",
    "HeldOutConfig",
    "LibraryConfig",
    "LicencesConfig",
    "MapsConfig",
    "MaskErrorConfig",
    "MasksConfig",
    "MulanConfig",
    "OcclusionConfig",
    "OpenImagesConfig",
    "PairsConfig",
    "Pixels",
    "PlacementConfig",
    "PromptsConfig",
    "ScenesConfig",
    "Section",
    "SegmentationConfig",
    "Share",
    "SizeConfig",
    "Weight",
]


class DataConfig(Section):
    """All data sections of a profile."""

    mulan: MulanConfig
    cutouts: CutoutsConfig = CutoutsConfig()
    prompts: PromptsConfig = PromptsConfig()
    generated: GeneratedConfig = GeneratedConfig()
    gates: GateConfig = GateConfig()
    backgrounds: BackgroundConfig
    pairs: PairsConfig = PairsConfig()
    library: LibraryConfig = LibraryConfig()
    scenes: ScenesConfig
    held_out: HeldOutConfig = HeldOutConfig()
    masks: MasksConfig = MasksConfig()
    maps: MapsConfig = MapsConfig()
    checks: ChecksConfig = ChecksConfig()
    engine: EngineConfig = EngineConfig()
    licences: LicencesConfig = LicencesConfig()

    @model_validator(mode="after")
    def _kinds_of_foregrounds(self) -> "DataConfig":
        generated, own = self.scenes.generated_share, self.scenes.cutouts_share
        if own is not None and self.cutouts.source == "none":
            raise ValueError(f"scenes.cutouts_share = {own} needs own cutouts: set cutouts.source and cutouts.folder")
        if self.mulan.source == "none" and self.cutouts.source == "none" and generated < 1:
            raise ValueError(
                "mulan.source = 'none' leaves only generated foregrounds: scenes.generated_share must be 1.0, got "
                f"{generated}"
            )
        if self.mulan.source == "none" and own is not None and not math.isclose(generated + own, 1):
            raise ValueError(
                "mulan.source = 'none' leaves generated foregrounds and own cutouts: scenes.generated_share and "
                f"scenes.cutouts_share must add up to 1.0, got {generated} and {own}; or leave cutouts_share out"
            )
        return self

    @model_validator(mode="after")
    def _prompts_of_rendered_objects(self) -> "DataConfig":
        if self.generated.generator == "rendered" and self.prompts.source == "written":
            raise ValueError(
                "prompts.source = 'written' is for the LayerDiffuse generators: the prompts of generated.generator = "
                "'rendered' are the names of its objects"
            )
        return self

    @model_validator(mode="after")
    def _smallest_cutout(self) -> "DataConfig":
        if self.gates.min_area_px is None:
            least = min(self.scenes.min_area_px(name) for name in self.scenes.size.drawn)
            gates = self.gates.model_copy(update={"min_area_px": math.ceil(least)})
            object.__setattr__(self, "gates", gates)  # Sections are frozen for their readers.
        return self
