"""The part `evaluation.study` of a profile."""

from typing import Literal

from pydantic import Field, field_validator

from decoupage.settings import Share
from pipelines.config import Section

Aspect = Literal["background", "foreground"]


class StudyConfig(Section):
    """The preference study: what raters are asked, how often, and whose answers count."""

    aspects: tuple[Aspect, ...] = Field(("background", "foreground"), min_length=1, description="what is compared")
    num_panes: int = Field(2, ge=2, le=3, description="methods side by side: A/B or A/B/C")
    num_images: int = Field(40, ge=1, le=10_000, description="of the list, chosen by the seed; all where it has fewer")
    num_raters: int = Field(12, ge=1, le=1000, description="planned beforehand; the report says how many came")
    max_questions: int | None = Field(
        None, ge=1, le=10_000, description="comparisons for one rater, chosen by the seed; absent = all"
    )
    attention_share: Share = Field(0.08, description="attention questions, as a share of the comparisons, rounded up")
    repeat_share: Share = Field(0.1, description="share of the comparisons asked twice, rounded up")
    max_missed_share: Share = Field(0.2, description="raters who miss more of the attention questions do not count")
    seed: int = Field(0, ge=0, lt=2**63, description="of the choice of images, of order and of sides")
    background_question: str = Field(
        "The outlined object was to be removed. Which picture looks most as if it had never been there?",
        min_length=1,
        max_length=300,
        description="asked of backgrounds",
    )
    foreground_question: str = Field(
        "The outlined object was to be cut out, whole, also where something hides it. "
        "Which picture shows it best? (The checkerboard is empty.)",
        min_length=1,
        max_length=300,
        description="asked of foregrounds",
    )

    @field_validator("aspects")
    @classmethod
    def _once(cls, aspects: tuple[Aspect, ...]) -> tuple[Aspect, ...]:
        if len(set(aspects)) != len(aspects):
            raise ValueError(f"each aspect stands once, got {', '.join(aspects)}")
        return aspects

    def question(self, aspect: Aspect) -> str:
        """What raters are asked about an aspect."""
        return self.background_question if aspect == "background" else self.foreground_question
