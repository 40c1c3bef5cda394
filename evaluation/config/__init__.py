"""The evaluation section of a profile: numbers and ranges only.

Here: the section and its small parts. The baselines and the test sets have their own files.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from decoupage.settings import Share
from evaluation.ablation_rows import PAPER_ROWS, ROW_NAMES
from evaluation.config.baselines import BaselinesConfig
from evaluation.config.test_sets import TestSetsConfig
from pipelines.config import Section

# --- ablations ----------------------------------------------------------------------------------------------------


def _known_row(name: str) -> str:
    if name not in ROW_NAMES:
        raise ValueError(f"there is no ablation {name!r}; known: {', '.join(ROW_NAMES)}")
    return name


RowName = Annotated[str, AfterValidator(_known_row)]


class AblationsConfig(Section):
    """The ablations: rows that are the profile's own recipe with one change each."""

    rows: tuple[RowName, ...] = Field(PAPER_ROWS, min_length=1, description="rows that `decoupage ablations` trains")
    changes: dict[str, Any] = Field({}, description="values that differ from the profile's recipe in all rows")
    """For example a shorter schedule. Without any, the row `paper` is the profile's adapter, which is trained once."""
    row_changes: dict[RowName, dict[str, Any]] = Field({}, description="values that differ in one row only, by row")
    """For settings that make a row fit, such as recomputation; one that affects the weights is a second change."""
    kontext_base: str = Field("", description="folder or owner/name[@revision] of Kontext; empty = the published one")

    @field_validator("changes", mode="before")
    @classmethod
    def _flattened(cls, values: Any) -> Any:
        return dict(_flat(values)) if isinstance(values, Mapping) else values

    @field_validator("row_changes", mode="before")
    @classmethod
    def _flattened_by_row(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {row: dict(_flat(own)) if isinstance(own, Mapping) else own for row, own in values.items()}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Tables in tables as dotted keys, as `training.changes` takes them."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


# --- gate ---------------------------------------------------------------------------------------------------------


MetricName = Annotated[str, Field(pattern=r"^(background|foreground|recomposition)\.[a-z0-9_]+$")]
"""`<part>.<metric>`, as the columns of `scores.csv` are named."""
Margin = Annotated[float, Field(ge=0.0, le=1e6)]
MARGINS: dict[str, float] = {
    "background.psnr_mask": 0.1,
    "background.psnr_ring": 0.2,
    "background.ssim_mask": 0.01,
    "background.psnr_whole_pasted": 0.2,  # Whole pictures as users get them: outside the mask nothing is generated.
    "background.ssim_whole_pasted": 0.01,
    "foreground.soft_iou": 0.01,
    "foreground.soft_iou_hidden": 0.02,
    "foreground.alpha_mse": 0.005,
    "recomposition.psnr_whole": 0.3,
}


class GateConfig(Section):
    """When a new adapter replaces the champion: better on one metric, not worse by more than a margin on the others.

    It must beat the base and the champion by more than another training seed would give. All numbers are our choice.
    Intervals are those of the report. If there are too few photographs or origins to decide, the champion stays; if
    there is no champion yet, the mean decides.
    """

    better: MetricName = Field("background.psnr_mask", description="metric whose interval of the gain must lie above 0")
    min_gain: Margin = Field(
        0.1,
        description="gain by that metric, in its unit, which the mean must exceed where the spread of seeds is not "
        "measured; our choice",
    )
    margins: dict[MetricName, Margin] = Field(
        MARGINS, description="loss, in the metric's unit, that the interval of the gain must exclude, by metric"
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


# --- inspection ---------------------------------------------------------------------------------------------------


class InspectionConfig(Section):
    """The FiftyOne dataset and its App: what enters, and where it is served."""

    folder: str = Field(
        "",
        description="local folder of pictures and database; empty = fiftyone/ in the root, or in the cache",
    )
    address: str = Field(
        "127.0.0.1", min_length=1, description="address on which the App listens; loopback keeps others out"
    )
    port: int = Field(5151, ge=1024, le=65535, description="port of the App")
    batch_scenes: int = Field(64, ge=1, le=10_000, description="scenes added to the database in one batch")
    max_scenes: int | None = Field(
        None, ge=1, description="show only this many of each split, the first ones; absent = all"
    )
    near_duplicate_distance: Share = Field(
        0.02, description="cosine distance between small copies of two composites below which they count as repeats"
    )


# --- metrics ------------------------------------------------------------------------------------------------------


class WeightsConfig(Section):
    """One file of published weights, and its hash."""

    path: str = Field(min_length=1, description="file with a PyTorch state dict; read without unpickling")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="hash of the file; a file with another hash is refused")


class LpipsConfig(Section):
    """The weights of LPIPS: a trunk that makes features, and a head that weights them."""

    trunk: WeightsConfig = Field(description="torchvision's AlexNet, trained on ImageNet")
    head: WeightsConfig = Field(description="`weights/v0.1/alex.pth` of the package lpips")


class MetricsConfig(Section):
    """The weights of learned metrics. A metric whose weights are absent is not measured, and the report says so."""

    lpips: LpipsConfig | None = Field(None, description="for LPIPS; absent = not measured")
    inception: WeightsConfig | None = Field(None, description="for FID and KID; absent = not measured")


# --- study --------------------------------------------------------------------------------------------------------


Aspect = Literal["background", "foreground"]


class StudyConfig(Section):
    """The preference study: what raters are asked, how often, and whose answers count."""

    aspects: tuple[Aspect, ...] = Field(("background", "foreground"), min_length=1, description="what is compared")
    num_panes: int = Field(3, ge=2, le=3, description="methods side by side: A/B or A/B/C; the paper: 3")
    num_images: int = Field(
        40, ge=1, le=10_000, description="images, chosen by the seed; all where there are fewer; the paper: 40"
    )
    num_raters: int = Field(
        18, ge=1, le=1000, description="planned number of raters; the report states the actual number; the paper: 18"
    )
    max_questions: int | None = Field(
        None, ge=1, le=10_000, description="comparisons for one rater, chosen by the seed; absent = all"
    )
    attention_share: Share = Field(0.08, description="attention questions, as a share of the comparisons, rounded up")
    repeat_share: Share = Field(0.1, description="share of the comparisons asked twice, rounded up")
    max_missed_share: Share = Field(
        0.2, description="share of attention questions; raters who miss more are not counted"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the choice of images, of the order and of the sides")
    background_question: str = Field(
        "The outlined object was to be removed. Which picture looks most as if it had never been there?",
        min_length=1,
        max_length=300,
        description="question about backgrounds",
    )
    foreground_question: str = Field(
        "The outlined object was to be cut out, whole, also where something hides it. "
        "Which picture shows it best? (The checkerboard is empty.)",
        min_length=1,
        max_length=300,
        description="question about foregrounds",
    )

    @field_validator("aspects")
    @classmethod
    def _once(cls, aspects: tuple[Aspect, ...]) -> tuple[Aspect, ...]:
        if len(set(aspects)) != len(aspects):
            raise ValueError(f"each aspect may appear only once, got {', '.join(aspects)}")
        return aspects

    def question(self, aspect: Aspect) -> str:
        """The question that raters are asked about an aspect."""
        return self.background_question if aspect == "background" else self.foreground_question


# --- the section --------------------------------------------------------------------------------------------------


class EvaluationConfig(Section):
    """How methods are compared. Which methods, and where files are, is not part of it."""

    num_steps: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="sampling steps of the adapter; absent = its own. The base uses its publisher's",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of each image's noise, and of the random draws in a study")
    bootstrap_draws: int = Field(10_000, ge=100, le=1_000_000, description="resamples behind each interval of a study")
    max_images: int | None = Field(
        None, ge=1, description="judge only this many images, the list's first ones; absent = all"
    )
    num_controls: int = Field(
        64,
        ge=0,
        le=100_000,
        description="images, spread over the list, on which an adapter also runs without maps and with another scene's "
        "maps; 0 = none; our choice",
    )
    test_sets: TestSetsConfig = TestSetsConfig()
    metrics: MetricsConfig = MetricsConfig()
    baselines: BaselinesConfig = BaselinesConfig()
    ablations: AblationsConfig = AblationsConfig()
    gate: GateConfig = GateConfig()
    study: StudyConfig = StudyConfig()
    inspection: InspectionConfig = InspectionConfig()
