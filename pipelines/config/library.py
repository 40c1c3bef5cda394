"""What may enter the catalogue, and which part of it is for testing."""

from pydantic import Field, model_validator

from decoupage.settings import Section, Share, check_range


class GateConfig(Section):
    """What a cutout must meet to become a foreground (docs/sources.md)."""

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
        check_range("coverage", self.coverage)
        return self


class LibraryConfig(Section):
    """The catalogue over all sources."""

    duplicate_distance_bits: int = Field(4, ge=0, le=32, description="pictures this near in a 64-bit hash are one")
    held_out_share: Share = Field(0.05, description="share of photographs kept for testing, by hash of their origin")
    held_out: tuple[str, ...] = Field((), description="origins always kept for testing")
    takedowns: str = Field("configs/takedowns.txt", description="file of ids that must not be used")
    evaluation_lists: tuple[str, ...] = Field(
        (), description="pictures that no training may see: files of ids (text, CSV, parquet) or folders of pictures"
    )
