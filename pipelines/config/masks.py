"""The errors of imperfect masks."""

from typing import Annotated

from pydantic import Field, model_validator

from decoupage.settings import Pixels, Section, Share, Weight, check_range

Larger = Annotated[float, Field(gt=1.0, le=8.0)]
Smaller = Annotated[float, Field(ge=0.05, lt=1.0)]
MIN_SHARE_OF_BEST_IOU = 0.8
"""A mask of r times the object's area has an IoU of at most min(r, 1 / r); it must reach this share of that. Ours."""


class MaskErrorConfig(Section):
    """One kind of mask error: its weight and its reach in pixels at the scene's size."""

    weight: Weight = 1.0
    reach_px: tuple[Pixels, Pixels] = (1, 8)

    @model_validator(mode="after")
    def _ordered(self) -> "MaskErrorConfig":
        check_range("reach_px", self.reach_px)
        return self


class AddedErrorConfig(Section):
    """One kind of mask error that adds to the mask: its weight, and mask area / area where the object shows."""

    weight: Weight = 1.0
    area_ratio: tuple[Larger, Larger] = (1.1, 1.8)

    @model_validator(mode="after")
    def _ordered(self) -> "AddedErrorConfig":
        check_range("area_ratio", self.area_ratio)
        return self


class BrushErrorConfig(AddedErrorConfig):
    """The same of a loose brush: RORD's loose masks have 3.7 times the area of its tight ones."""

    area_ratio: tuple[Larger, Larger] = (2.5, 4.0)


class ShadowErrorConfig(AddedErrorConfig):
    """The same of a shadow: CORNE's masks of objects with their effects have about 1.8 times the objects' area."""

    area_ratio: tuple[Larger, Larger] = (1.2, 2.6)


class PartErrorConfig(Section):
    """One kind of mask error that leaves a part: its weight, and mask area / area where the object shows."""

    weight: Weight = 1.0
    area_ratio: tuple[Smaller, Smaller] = (0.35, 0.8)

    @model_validator(mode="after")
    def _ordered(self) -> "PartErrorConfig":
        check_range("area_ratio", self.area_ratio)
        return self


class MasksConfig(Section):
    """Imperfect masks: the visible mask after the errors that people and segmenters make.

    `reach_px` means: radius of the growth or loss (dilation, erosion), amplitude of the wobble (boundary),
    tolerance of the outline (polygon), margin around the box (box), radius of a hole (hole), depth of the bite
    (missing_part), growth of the blob (blob), offset (shift). `none` leaves the mask as it is.

    `area_ratio` is that of the mask with what is added, above 1: by a loose brush (brush), by the shadow (shadow), by
    the part of another layer that lies next (neighbour); and of what is left, below 1: a part cut along a change of
    colour (half), what has the colour of a clicked point (click).
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
    brush: BrushErrorConfig = BrushErrorConfig()
    shadow: ShadowErrorConfig = ShadowErrorConfig()
    neighbour: AddedErrorConfig = AddedErrorConfig()
    half: PartErrorConfig = PartErrorConfig()
    click: PartErrorConfig = PartErrorConfig()
    min_iou: Share = Field(
        0.4, description="of kinds with a reach_px: a mask with a lower IoU with the true one is drawn again"
    )
    max_attempts: int = Field(16, ge=1, le=100, description="draws after which the mask is left without error")

    @model_validator(mode="after")
    def _something_to_draw(self) -> "MasksConfig":
        if not any(getattr(value, "weight", 0.0) for _, value in self):
            raise ValueError("at least one kind of mask error must have a weight above 0")
        return self

    def allows(self, error: str, iou: float, area_ratio: float) -> bool:
        """Whether a mask of this kind, with this IoU and area against what shows, still means its target."""
        limits = getattr(self, error)
        if isinstance(limits, MaskErrorConfig):
            return iou >= self.min_iou
        low, high = limits.area_ratio
        return low <= area_ratio <= high and iou >= MIN_SHARE_OF_BEST_IOU * min(area_ratio, 1.0 / area_ratio)
