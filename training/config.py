"""The configuration of a training run: frozen models whose fields say their unit, with allowed ranges.

Only types and ranges are here; complete runs are functions in `recipes.py`. The defaults are the paper's where it names
a value, else ours. This module imports no torch, so that profiles and asset definitions can read it.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from decoupage.fingerprint import fingerprint
from decoupage.maps.table import MAPS
from decoupage.settings import did_you_mean, known_keys, validated
from pipelines.config import Section, Share

if TYPE_CHECKING:
    from decoupage.adapter import AdapterConfig

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Steps = Annotated[int, Field(ge=0, le=10_000_000)]


class AdapterSection(Section):
    """The fields of `decoupage.adapter.AdapterConfig`, which says what they mean; a test holds the two together.

    Its `size_px` is the samples'.
    """

    base: str = "flux-fill"
    rank: int = Field(256, ge=1, le=4096)
    alpha: float | None = Field(None, gt=0.0, le=65536.0, description="None = rank, that is a scale of 1")
    mode: Literal["joint", "batch"] = "joint"
    foreground_context: Literal["foreground", "background", "none"] = "foreground"
    maps: tuple[str, ...] = tuple(MAPS)
    num_latents: int = Field(256, ge=1, le=65536)
    fusion_dim: int = Field(512, ge=8, le=16384, multiple_of=8)
    direct_queries: bool = False
    num_inference_steps: int = Field(30, ge=1, le=1000)
    refine_masks: bool = False
    num_looks: int = Field(1, ge=1, le=8)

    @model_validator(mode="after")
    def _maps_differ(self) -> "AdapterSection":
        if unknown := sorted(set(self.maps) - set(MAPS)):
            raise ValueError(f"maps may name {', '.join(MAPS)}, got {', '.join(unknown)}")
        if len(set(self.maps)) < len(self.maps):
            raise ValueError(f"maps must name each map once, got {list(self.maps)}")
        return self


class OptimiserConfig(Section):
    """AdamW and the clipping of its gradients."""

    name: Literal["adamw", "adamw8bit"] = "adamw"
    """`adamw8bit`: moments in 8 bits (bitsandbytes), a quarter of their memory."""
    learning_rate: float = Field(5e-5, gt=0.0, le=1.0)
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(1e-2, ge=0.0, le=1.0)
    max_grad_norm: float = Field(1.0, gt=0.0, le=1e6, description="gradients are clipped to this norm")


class AdapterOptimiserConfig(OptimiserConfig):
    """AdamW for an adapter, whose new modules may learn faster than what changes the base (`optimiser.py`)."""

    new_modules_factor: float = Field(
        10.0,
        ge=1.0,
        le=1000.0,
        description="learning rate of fusion and added columns, as a multiple of the others'; our choice",
    )


class ScheduleConfig(Section):
    """Length of a run and its learning rate over time (`optimiser.py`). A step is one update of the weights."""

    kind: Literal["constant", "cosine"] = "constant"
    warmup_steps: Steps = 100
    num_steps: int = Field(7200, ge=1, le=10_000_000)

    @model_validator(mode="after")
    def _leaves_warmup(self) -> "ScheduleConfig":
        if self.warmup_steps >= self.num_steps:
            raise ValueError(f"warmup_steps must be below num_steps ({self.num_steps}), got {self.warmup_steps}")
        return self


class BatchConfig(Section):
    """The samples of a step: `micro_batch` at a time, gradients summed over `accumulation` of them, on one process."""

    micro_batch: int = Field(1, ge=1, le=4096)
    accumulation: int = Field(8, ge=1, le=4096)

    @property
    def size(self) -> int:
        """Number of samples in a step, over all processes."""
        return self.micro_batch * self.accumulation

    def accumulation_for(self, num_processes: int) -> int:
        """Number of micro-batches that each process takes for a step, so that the batch is the same on any number.

        Raises:
            ValueError: the batch does not divide evenly.
        """
        if num_processes < 1 or self.accumulation % num_processes:
            raise ValueError(
                f"batch.accumulation must be a multiple of the number of processes ({num_processes}), "
                f"got {self.accumulation}"
            )
        return self.accumulation // num_processes


class ObjectiveConfig(Section):
    """The objective: flow matching on both halves, with equal weights, and optional additional losses."""

    guidance: float = Field(1.0, ge=0.0, le=100.0, description="embedded guidance scale; 1 = the un-guided velocity")
    pure_noise_share: Share = Field(0.0, description="share of samples at noise level 1, for one-step bases")
    hole_weight: float = Field(1.0, ge=1.0, le=1000.0, description="weight of what the background half must generate")
    pixels_weight: float = Field(0.0, ge=0.0, le=1000.0, description="weight of the decoded layers' error; 0 = off")
    recomposition_weight: float = Field(0.0, ge=0.0, le=1000.0, description="weight of recomposition; 0 = off")
    modality_dropout: Share = Field(0.1, description="share of maps dropped, each map independently for each sample")
    no_maps_share: Share = Field(0.1, description="share of samples that get no map at all, as in use without maps")


class SamplesConfig(Section):
    """The samples that are taken from the shards, and their augmentation."""

    size_px: int = Field(1024, ge=16, le=4096, multiple_of=8, description="side of a sample")
    flip: bool = Field(True, description="flip every second sample, left to right")
    recolour_share: Share = Field(0.0, description="share of recoloured samples, for data of few photographs")
    pairs_share: Share = Field(0.0, description="share of samples drawn from before/after pairs; 0 = none")
    redraw_masks: bool = Field(True, description="draw a new imperfect mask instead of taking the stored one")
    validation_share: Share = Field(0.02, description="share of scenes, by hash, kept out of training for validation")
    num_validation: int = Field(64, ge=0, le=100_000, description="samples that validation uses; 0 = none")
    max_unreadable_share: Share = Field(0.01, description="share of unreadable scenes above which the run stops")


class ComputeConfig(Section):
    """Number formats, and what saves memory or time without changing the task."""

    precision: Literal["bf16", "fp32"] = Field("bf16", description="on a GPU; a CPU always computes in fp32")
    base_quantisation: Literal["none", "int8", "nf4", "fp8"] = "none"
    checkpoint_every_blocks: int = Field(0, ge=0, le=1000, description="recompute every n-th block; 0 = none")
    compile: bool = Field(False, description="compile each kind of block once (regional)")
    sharded: bool = Field(False, description="share out weights and moments among the processes of a run (FSDP2)")
    loader_workers: int = Field(4, ge=0, le=1024, description="processes that read samples; 0 = the training process")
    loader_cache_gb: float = Field(
        50.0, ge=0.0, le=1e6, description="disk space for scenes of an object store, per machine; 0 = none is kept"
    )


class OutputConfig(Section):
    """How often checkpoints and sample grids are written, and how many are kept."""

    save_every_steps: int = Field(500, ge=1, le=10_000_000, description="steps between checkpoints that are judged")
    save_every_s: float = Field(
        1800.0,
        ge=0.0,
        le=1e6,
        description="longest time between checkpoints; 0 = by steps only",
    )
    keep_last: int = Field(3, ge=1, le=1000, description="checkpoints that are kept in addition to the best one")
    sample_every_steps: Steps = Field(500, description="steps between sample grids; 0 = none")


class RunConfig(Section):
    """The sections of every run. `batch.accumulation` holds for a single process (`BatchConfig.accumulation_for`)."""

    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    batch: BatchConfig = BatchConfig()
    compute: ComputeConfig = ComputeConfig()
    output: OutputConfig = OutputConfig()
    ema_decay: float = Field(0.999, ge=0.0, lt=1.0, description="decay of the averaged weights; 0 = none")
    seed: int = Field(0, ge=0, lt=2**63)

    @property
    def needs_gpu(self) -> bool:
        """Whether a setting has no CPU form."""
        return self.compute.base_quantisation != "none" or self.optimiser.name == "adamw8bit"

    def recipe(self) -> dict[str, Any]:
        """Plain JSON values of everything that decides the weights, up to rounding.

        Left out: how a batch is split, what is recomputed, compiled or sharded, the loader's processes and its cache,
        when a run gives up and what it writes. A run may continue with other values of these, on another machine.
        """
        values = self.model_dump(mode="json", exclude={"output", "batch"})
        for name in ("checkpoint_every_blocks", "compile", "sharded", "loader_workers", "loader_cache_gb"):
            del values["compute"][name]
        return values | {"batch_size": self.batch.size}

    def fingerprint(self) -> str:
        """Fingerprint of `recipe()`, 16 hex digits."""
        return fingerprint(self.recipe())


class TrainingConfig(RunConfig):
    """A run that trains an adapter."""

    adapter: AdapterSection = AdapterSection()
    optimiser: AdapterOptimiserConfig = AdapterOptimiserConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    data: SamplesConfig = SamplesConfig()

    def recipe(self) -> dict[str, Any]:
        """See `RunConfig.recipe`."""
        values = super().recipe()
        del values["data"]["max_unreadable_share"]
        if not self.data.pairs_share:  # Runs without pairs keep the fingerprint that they had before there were any.
            del values["data"]["pairs_share"]
        return values

    def adapter_config(self) -> "AdapterConfig":
        """The adapter's own configuration. Imports torch."""
        from decoupage.adapter import AdapterConfig

        return AdapterConfig(**self.adapter.model_dump(), size_px=self.data.size_px)


Run = TypeVar("Run", bound=RunConfig)


def with_changes(config: Run, changes: Mapping[str, Any]) -> Run:
    """A copy of a run with some values changed.

    Args:
        config: the run to start from.
        changes: values by dotted key, e.g. `{"adapter.rank": 128}`.

    Raises:
        ValueError: an unknown key or an impossible value; the message names the key.
    """
    values = config.model_dump(mode="json")
    for key, value in changes.items():
        *sections, last = key.split(".")
        part: Any = values
        for section in sections:
            part = part.get(section) if isinstance(part, dict) else None
        if not isinstance(part, dict) or last not in part:
            raise ValueError(f"unknown key {key}{did_you_mean(key, list(known_keys(type(config))))}")
        part[last] = value
    try:
        return validated(type(config), values)
    except ValidationError as error:
        raise ValueError("; ".join(_sentence(fault) for fault in error.errors())) from None


def dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables as pairs of a dotted key and a value: `{"a": {"b": 1}}` gives ("a.b", 1)."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _sentence(fault: Any) -> str:
    """One pydantic fault as `adapter.rank must be greater than or equal to 1, got -3`."""
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "value_error":
        return f"{path}.{fault['ctx']['error']}" if path else str(fault["ctx"]["error"])
    if fault["msg"].startswith("Input should be"):
        return f"{path} must be{fault['msg'].removeprefix('Input should be')}, got {fault['input']!r}"
    return f"{path}: {fault['msg']}, got {fault['input']!r}"
