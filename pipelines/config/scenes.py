"""The scenes: their number, size, layers and placement."""

from typing import Literal

from pydantic import Field, model_validator

from decoupage.settings import Section, Share, Weight, check_range

SizeClass = Literal["small", "medium", "large"]
SIZE_CLASSES: tuple[SizeClass, ...] = ("small", "medium", "large")


class SizeConfig(Section):
    """The size of layers: classes of area as a share of the canvas, with weights."""

    small: tuple[Share, Share] = (0.02, 0.08)
    medium: tuple[Share, Share] = (0.08, 0.20)
    large: tuple[Share, Share] = (0.20, 0.42)
    weights: tuple[Weight, Weight, Weight] = (1.0, 1.5, 1.0)
    max_total_share: float = Field(
        0.4, gt=0.0, le=1.0, description="share of the canvas that lower bounds may add up to"
    )
    max_enlargement: float = Field(1.5, ge=1.0, le=4.0, description="largest factor by which a cutout is scaled up")
    max_use_ratio: float = Field(
        1.5,
        ge=1.0,
        le=1000.0,
        description="mean uses of the cutouts that fill a class and of all of their kind: what limits the weights",
    )

    @model_validator(mode="after")
    def _possible(self) -> "SizeConfig":
        for name in SIZE_CLASSES:
            check_range(name, self.shares(name))
        drawn = [self.shares(name)[0] for name in self.drawn]
        if not drawn or 3 * min(drawn) > self.max_total_share:
            raise ValueError("weights and max_total_share must leave room for three layers of the smallest class")
        return self

    def shares(self, size_class: SizeClass) -> tuple[float, float]:
        """The range of a class: shares of the canvas."""
        shares: tuple[float, float] = getattr(self, size_class)
        return shares

    @property
    def drawn(self) -> list[SizeClass]:
        """The classes that a layer can be planned to have."""
        weights = zip(SIZE_CLASSES, self.weights, strict=True)
        return [name for name, weight in weights if weight > 0 and self.shares(name)[0] <= self.max_total_share]


class OcclusionConfig(Section):
    """Occlusion between layers: a scene has an occluded layer, at a drawn level, or none."""

    scene_share: Share = Field(0.6, description="share of scenes of two or more layers with an occluded one")
    none: tuple[Share, Share] = (0.0, 0.01)
    light: tuple[Share, Share] = (0.05, 0.20)
    medium: tuple[Share, Share] = (0.20, 0.45)
    heavy: tuple[Share, Share] = (0.45, 0.75)
    weights: tuple[Weight, Weight, Weight, Weight] = (0.5, 1.0, 1.0, 0.6)
    """Weights of none, light, medium and heavy, for each layer that has one above it; at least one is not none."""

    @model_validator(mode="after")
    def _possible(self) -> "OcclusionConfig":
        if self.scene_share > 0 and sum(self.weights[1:]) <= 0:
            raise ValueError("weights must give light, medium or heavy a positive weight when scene_share > 0")
        for level in ("none", "light", "medium", "heavy"):
            check_range(level, getattr(self, level))
        return self


class BorderConfig(Section):
    """Layers that reach over the picture's border."""

    contact_share: Share = Field(0.2, description="share of layers that reach over the border")
    inside: tuple[Share, Share] = (0.6, 0.97)
    """Share of such a layer's area that stays inside."""


class PlacementConfig(Section):
    """Where layers may be: on what carries them, at a size that fits there, or anywhere."""

    kind: Literal["supported", "free"] = "free"
    """`supported` needs a segmentation with ADE20K's classes; `free` places without regard to the photograph."""
    free_share: Share = Field(0.1, description="share of layers, placed freely, whose object has no known support")
    contact_shadow: bool = False
    """Whether an object that stands on ground or a surface darkens it under its foot; only with `supported`."""

    @model_validator(mode="after")
    def _possible(self) -> "PlacementConfig":
        if self.contact_shadow and self.kind != "supported":
            raise ValueError(
                f'contact_shadow = true must go with kind = "supported", got "{self.kind}", which does not know what '
                "layers stand on; set that kind or leave contact_shadow out"
            )
        return self


class ScenesConfig(Section):
    """The scenes: their number, size, layers and placement."""

    num_scenes: int = Field(ge=1, le=100_000_000)
    scenes_per_shard: int = Field(ge=1, le=100_000)
    size_px: int = Field(ge=64, le=2048, multiple_of=8)
    seed: int = Field(0, ge=0)
    num_layers_weights: tuple[Weight, Weight, Weight] = (1.0, 1.0, 1.0)
    generated_share: Share = Field(0.5, description="share of layers drawn from generated foregrounds")
    cutouts_share: Share | None = Field(
        None, description="share of layers drawn from own cutouts; left out = by their number among real foregrounds"
    )
    flip_share: Share = 0.5
    max_rotation_deg: float = Field(10.0, ge=0.0, le=45.0)
    max_background_crop: Share = Field(0.4, description="the crop's side is at least (1 - this) of the short side")
    max_background_enlargement: float = Field(
        1.15, ge=1.0, le=8.0, description="largest factor by which a photograph is scaled up; smaller ones are not used"
    )
    jpeg_quality: int = Field(98, ge=95, le=100)
    harmonisation: Share = Field(0.0, description="0 = a layer's own colours, 1 = its background's statistics")
    max_attempts: int = Field(96, ge=1, le=1000, description="draws of a scene before it is dropped")
    virtual_nodes: int = Field(
        8, ge=1, le=4096, description="points of an asset on the ring that assets are drawn from"
    )
    size: SizeConfig = SizeConfig()
    occlusion: OcclusionConfig = OcclusionConfig()
    border: BorderConfig = BorderConfig()
    placement: PlacementConfig = PlacementConfig()

    @model_validator(mode="after")
    def _shares_of_kinds(self) -> "ScenesConfig":
        if self.generated_share + (self.cutouts_share or 0.0) > 1 + 1e-9:
            raise ValueError(
                f"generated_share and cutouts_share must add up to at most 1, got {self.generated_share} and "
                f"{self.cutouts_share}"
            )
        return self

    @property
    def num_shards(self) -> int:
        """Number of shards; the last one may hold fewer scenes."""
        return -(-self.num_scenes // self.scenes_per_shard)

    def without_generated(self) -> "ScenesConfig":
        """The same with no generated foregrounds; the others keep their proportions."""
        own = self.cutouts_share
        if own is not None and self.generated_share < 1:
            own = own / (1 - self.generated_share)
        return self.model_copy(update={"generated_share": 0.0, "cutouts_share": own})

    def min_area_px(self, size_class: SizeClass) -> float:
        """Area that a cutout must have, summed alpha / 255, so that the largest enlargement makes it fill a class."""
        return self.size.shares(size_class)[0] * self.size_px**2 / self.size.max_enlargement**2


class HeldOutConfig(Section):
    """The scenes for testing: made as `scenes` says, from held-out assets."""

    num_scenes: int = Field(256, ge=1, le=1_000_000)
    seed: int = Field(1, ge=0)
