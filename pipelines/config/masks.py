"""The errors of imperfect masks."""

from pydantic import Field, model_validator

from decoupage.settings import Pixels, Section, Share, Weight, check_range


class MaskErrorConfig(Section):
    """One kind of mask error: its weight and its reach in pixels at the scene's size."""

    weight: Weight = 1.0
    reach_px: tuple[Pixels, Pixels] = (1, 8)

    @model_validator(mode="after")
    def _ordered(self) -> "MaskErrorConfig":
        check_range("reach_px", self.reach_px)
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
    min_iou: Share = Field(0.4, description="a mask with a lower IoU with the true one is drawn again")
    max_attempts: int = Field(16, ge=1, le=100, description="draws after which the mask is left without error")

    @model_validator(mode="after")
    def _something_to_draw(self) -> "MasksConfig":
        kinds = [value for _, value in self if isinstance(value, MaskErrorConfig)]
        if not any(kind.weight for kind in kinds):
            raise ValueError("at least one kind of mask error must have a weight above 0")
        return self
