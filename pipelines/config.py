"""The data sections of a profile: frozen models whose fields say their unit, with allowed ranges.

Only shapes and ranges live here; the numbers are in `configs/*.toml`, and `profiles.py` reads them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, le=1000.0)]
Pixels = Annotated[int, Field(ge=0, le=512)]


class Section(BaseModel):
    """A part of a profile: frozen, and without room for keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _check_range(name: str, low_high: tuple[float, float]) -> None:
    if low_high[0] > low_high[1]:
        raise ValueError(f"{name} must be [low, high] with low <= high, got {list(low_high)}")


class EngineConfig(Section):
    """Where samples are mapped."""

    kind: Literal["serial", "process"] = "process"
    workers: int = Field(0, ge=0, le=1024, description="processes; 0 = one for each core")


class GateConfig(Section):
    """What a cutout must meet to become a foreground (facts behind the defaults: docs/data.md)."""

    alpha_floor: int = Field(8, ge=0, le=64, description="alpha at or below this is haze: set to 0")
    alpha_ceiling: int = Field(247, ge=192, le=255, description="alpha at or above this is solid: set to 255")
    min_side_px: int = Field(48, ge=4, le=4096, description="shorter side of the alpha box")
    min_area_px: int = Field(2000, ge=16, le=10_000_000, description="summed alpha / 255")
    coverage: tuple[Share, Share] = (0.12, 0.97)
    """Share of the alpha box that the cutout covers: below is wire or dust, above is a plain rectangle."""
    max_cut_share: Share = Field(0.4, description="share of the box's outline that may lie on the picture's border")
    """A bust cut straight at the bottom has 0.2 to 0.3, a full picture 1; cut on opposite sides is always out."""
    max_island_share: Share = Field(0.12, description="share of the area outside the largest connected part")
    max_haze_share: Share = Field(0.8, description="share of visible pixels with alpha below 64; glass has 0.6")

    @model_validator(mode="after")
    def _ordered(self) -> "GateConfig":
        _check_range("coverage", self.coverage)
        return self


class MulanConfig(Section):
    """MULAN annotations and the pictures they belong to."""

    source: Literal["packaged", "folder"] = "folder"
    """`packaged`: a small tree in the same byte format, made from packaged photographs (the demo)."""
    annotations: str = Field("", description="folder with *.p.zl files, searched recursively")
    images: str = Field("", description="folder with train2017/ and val2017/")
    num_shards: int = Field(64, ge=1, le=2000)
    max_inflated_mb: int = Field(256, ge=1, le=1024, description="bound of one annotation after decompression")

    @model_validator(mode="after")
    def _folders_named(self) -> "MulanConfig":
        if self.source == "folder" and not (self.annotations and self.images):
            raise ValueError("annotations and images must name folders when source = 'folder'")
        return self


class GeneratedConfig(Section):
    """Foregrounds generated from prompts, with complete shapes."""

    generator: Literal["procedural"] = "procedural"
    """`procedural`: drawn shapes, the stand-in for LayerDiffuse."""
    prompts_per_category: int = Field(6, ge=1, le=10_000)
    images_per_prompt: int = Field(1, ge=1, le=1000)
    num_shards: int = Field(2, ge=1, le=2000)
    size_px: int = Field(512, ge=64, le=2048)
    seed: int = Field(0, ge=0)


class BackgroundConfig(Section):
    """Photographs to put objects in front of."""

    source: Literal["packaged", "folder"] = "folder"
    folder: str = Field("", description="folder of pictures, with attribution.csv when there is one")
    min_side_px: int = Field(256, ge=16, le=8192)
    min_sharpness: float = Field(0.0, ge=0.0, description="variance of the Laplacian of the gray picture at 512 px")
    licence: str = Field("unknown", description="licence of pictures for which attribution.csv says none")

    @model_validator(mode="after")
    def _folder_named(self) -> "BackgroundConfig":
        if self.source == "folder" and not self.folder:
            raise ValueError("folder must name a folder when source = 'folder'")
        return self


class LibraryConfig(Section):
    """The catalogue over all sources."""

    duplicate_distance_bits: int = Field(4, ge=0, le=32, description="pictures this near in a 64-bit hash are one")
    held_out_share: Share = Field(0.05, description="share of photographs kept for testing, by hash of their origin")
    held_out: tuple[str, ...] = Field((), description="origins always kept for testing")
    takedowns: str = Field("configs/takedowns.txt", description="file of ids that must not be used")


class SizeConfig(Section):
    """How large a layer is: classes of its area as a share of the canvas, with weights."""

    small: tuple[Share, Share] = (0.02, 0.08)
    medium: tuple[Share, Share] = (0.08, 0.20)
    large: tuple[Share, Share] = (0.20, 0.42)
    weights: tuple[Weight, Weight, Weight] = (1.0, 1.5, 1.0)
    max_total_share: float = Field(0.4, gt=0.0, le=1.0, description="of the canvas, for the lower bounds together")
    max_enlargement: float = Field(1.5, ge=1.0, le=4.0, description="a cutout is never scaled up by more")

    @model_validator(mode="after")
    def _possible(self) -> "SizeConfig":
        for name in ("small", "medium", "large"):
            _check_range(name, getattr(self, name))
        drawn = [low for (low, _), w in zip((self.small, self.medium, self.large), self.weights, strict=True) if w > 0]
        if not drawn or 3 * min(drawn) > self.max_total_share:
            raise ValueError("weights and max_total_share must leave room for three layers of the smallest class")
        return self


class OcclusionConfig(Section):
    """Who hides whom: a scene either has an occluded layer, at a drawn level, or has none."""

    scene_share: Share = Field(0.6, description="share of scenes of two or more layers with an occluded one")
    none: tuple[Share, Share] = (0.0, 0.01)
    light: tuple[Share, Share] = (0.05, 0.20)
    medium: tuple[Share, Share] = (0.20, 0.45)
    heavy: tuple[Share, Share] = (0.45, 0.75)
    weights: tuple[Weight, Weight, Weight, Weight] = (0.5, 1.0, 1.0, 0.6)
    """Of none, light, medium and heavy, for each layer that has one above it; at least one is not none."""

    @model_validator(mode="after")
    def _possible(self) -> "OcclusionConfig":
        if self.scene_share > 0 and sum(self.weights[1:]) <= 0:
            raise ValueError("weights must give light, medium or heavy a positive weight when scene_share > 0")
        for level in ("none", "light", "medium", "heavy"):
            _check_range(level, getattr(self, level))
        return self


class BorderConfig(Section):
    """Layers that the picture's border cuts."""

    contact_share: Share = Field(0.2, description="share of layers that reach over the border")
    inside: tuple[Share, Share] = (0.6, 0.97)
    """Share of such a layer's area that stays inside."""


class ScenesConfig(Section):
    """Scenes: how many, how large, and what is drawn."""

    num_scenes: int = Field(ge=1, le=100_000_000)
    scenes_per_shard: int = Field(ge=1, le=100_000)
    size_px: int = Field(ge=64, le=2048, multiple_of=8)
    seed: int = Field(0, ge=0)
    num_layers_weights: tuple[Weight, Weight, Weight] = (1.0, 1.0, 1.0)
    generated_share: Share = Field(0.5, description="share of layers drawn from generated foregrounds")
    flip_share: Share = 0.5
    max_rotation_deg: float = Field(10.0, ge=0.0, le=45.0)
    max_background_crop: Share = Field(0.4, description="the crop's side is at least 1 - this of the short side")
    jpeg_quality: int = Field(98, ge=95, le=100)
    harmonisation: Share = Field(0.0, description="pull of a layer's colour statistics towards its background's")
    max_attempts: int = Field(96, ge=1, le=1000, description="draws of a scene before it is dropped")
    virtual_nodes: int = Field(64, ge=1, le=4096, description="points of an asset on the ring it is drawn from")
    size: SizeConfig = SizeConfig()
    occlusion: OcclusionConfig = OcclusionConfig()
    border: BorderConfig = BorderConfig()

    @property
    def num_shards(self) -> int:
        """Shards that `num_scenes` fill; the last one may be short."""
        return -(-self.num_scenes // self.scenes_per_shard)


class HeldOutConfig(Section):
    """Scenes for testing: made as `scenes` says, from what the library holds out."""

    num_scenes: int = Field(256, ge=1, le=1_000_000)
    seed: int = Field(1, ge=0)


class MaskErrorConfig(Section):
    """One kind of mask error: how often, and how far it goes (pixels of the scene's size)."""

    weight: Weight = 1.0
    reach_px: tuple[Pixels, Pixels] = (1, 8)

    @model_validator(mode="after")
    def _ordered(self) -> "MaskErrorConfig":
        _check_range("reach_px", self.reach_px)
        return self


class MasksConfig(Section):
    """Imperfect masks: the visible mask after the errors that people and detectors make.

    `reach_px` means: radius of the growth or loss (dilation, erosion), amplitude of the wobble (boundary),
    tolerance of the outline (polygon), margin around the box (box), radius of a hole (hole), depth of the bite
    (missing_part), growth of the blob (blob), offset (shift). `none` leaves the mask as it is.
    """

    none: MaskErrorConfig = MaskErrorConfig(weight=1.0, reach_px=(0, 0))
    dilation: MaskErrorConfig = MaskErrorConfig()
    erosion: MaskErrorConfig = MaskErrorConfig()
    boundary: MaskErrorConfig = MaskErrorConfig()
    polygon: MaskErrorConfig = MaskErrorConfig()
    box: MaskErrorConfig = MaskErrorConfig()
    hole: MaskErrorConfig = MaskErrorConfig(reach_px=(3, 16))
    missing_part: MaskErrorConfig = MaskErrorConfig(reach_px=(8, 48))
    blob: MaskErrorConfig = MaskErrorConfig()
    shift: MaskErrorConfig = MaskErrorConfig()
    min_iou: Share = Field(0.4, description="a mask further from the truth is drawn again")
    max_attempts: int = Field(16, ge=1, le=100, description="draws before the error is left out")

    @model_validator(mode="after")
    def _something_to_draw(self) -> "MasksConfig":
        kinds = [value for _, value in self if isinstance(value, MaskErrorConfig)]
        if not any(kind.weight for kind in kinds):
            raise ValueError("at least one kind of mask error must have a weight above 0")
        return self


class EdgesConfig(Section):
    """Canny on the gray composite."""

    low: int = Field(100, ge=0, le=1000)
    high: int = Field(200, ge=1, le=1000)

    @model_validator(mode="after")
    def _ordered(self) -> "EdgesConfig":
        _check_range("low, high", (self.low, self.high))
        return self


class SegmentationConfig(Section):
    """Regions of the composite."""

    model: Literal["felzenszwalb"] = "felzenszwalb"
    """`felzenszwalb`: classical graph regions without classes, the stand-in for SegFormer."""
    size_px: int = Field(256, ge=32, le=2048, description="side at which regions are computed and stored")
    min_region_share: float = Field(0.005, ge=0.004, le=1.0, description="at most 250 regions fit the 8-bit map")


class DepthConfig(Section):
    """Nearness of each pixel of the composite."""

    model: Literal["dark_channel"] = "dark_channel"
    """`dark_channel`: the haze prior, the stand-in for Depth-Anything-V2."""
    size_px: int = Field(256, ge=32, le=2048, description="side at which depth is computed and stored")


class MapsConfig(Section):
    """Maps of the composite."""

    edges: EdgesConfig = EdgesConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    depth: DepthConfig = DepthConfig()


class ChecksConfig(Section):
    """When a check of the data fails."""

    max_quarantine_share: Share = Field(0.2, description="of a source's items")
    max_scene_drop_share: Share = Field(0.05, description="of the planned scenes")
    min_foregrounds: int = Field(4, ge=1)
    min_backgrounds: int = Field(2, ge=1)


class DataConfig(Section):
    """All data sections of a profile."""

    mulan: MulanConfig
    generated: GeneratedConfig = GeneratedConfig()
    gates: GateConfig = GateConfig()
    backgrounds: BackgroundConfig
    library: LibraryConfig = LibraryConfig()
    scenes: ScenesConfig
    held_out: HeldOutConfig = HeldOutConfig()
    masks: MasksConfig = MasksConfig()
    maps: MapsConfig = MapsConfig()
    checks: ChecksConfig = ChecksConfig()
    engine: EngineConfig = EngineConfig()
