"""What all sections share: frozen models whose fields say their unit, with allowed ranges."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, le=1000.0)]
Pixels = Annotated[int, Field(ge=0, le=512)]


class Section(BaseModel):
    """A part of a profile: frozen, and without room for keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def check_range(name: str, low_high: tuple[float, float]) -> None:
    """Raises ValueError when a range is upside down."""
    if low_high[0] > low_high[1]:
        raise ValueError(f"{name} must be [low, high] with low <= high, got {list(low_high)}")
