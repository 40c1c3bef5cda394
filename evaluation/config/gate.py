"""The part `evaluation.gate` of a profile: when a new adapter replaces the champion."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from pipelines.config import Section

Name = Annotated[str, Field(pattern=r"^(background|foreground|recomposition)\.[a-z0-9_]+$")]
"""`<part>.<metric>`, as `scores.csv` heads its columns."""
Margin = Annotated[float, Field(ge=0.0, le=1e6)]
MARGINS: dict[str, float] = {
    "background.psnr_mask": 0.1,
    "background.psnr_whole_pasted": 0.2,  # Whole pictures as people get them: outside the mask nothing is generated.
    "background.ssim_whole_pasted": 0.01,
    "foreground.soft_iou": 0.01,
    "foreground.soft_iou_hidden": 0.02,
    "foreground.alpha_mse": 0.005,
    "recomposition.psnr_whole": 0.3,
}


class GateConfig(Section):
    """When a new adapter replaces the champion: better on one metric, and not worse on the others by a margin.

    Intervals are those of the report. What too few photographs or origins leave undecided keeps the champion in place;
    where there is none yet, the mean decides.
    """

    better: Name = Field("background.psnr_mask", description="metric whose interval of the gain must lie above 0")
    margins: dict[Name, Margin] = Field(
        MARGINS, description="metric -> loss, in its unit, that the interval of the gain must exclude"
    )

    @field_validator("margins", mode="before")
    @classmethod
    def _flattened(cls, values: Any) -> Any:
        """`background.psnr_whole = 0.2` and `"background.psnr_whole" = 0.2` mean the same in TOML."""
        if not isinstance(values, Mapping):
            return values
        flat: dict[str, Any] = {}
        for key, value in values.items():
            tables = value.items() if isinstance(value, Mapping) else ()
            flat |= {f"{key}.{name}": inner for name, inner in tables} if tables else {key: value}
        return flat
