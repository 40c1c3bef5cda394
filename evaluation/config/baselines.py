"""The part `evaluation.baselines` of a profile: methods by others, and how each is run.

Numbers, names and paths of weights. What a method does with them is in `evaluation.methods`; docs/baselines.md has a
section for each. Prompts and sizes are ours where the model's publisher gives none.
"""

import re
from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from decoupage.weights.hub import HubId
from evaluation.rivals import SIMPLE_NAMES
from pipelines.config import Section

INPUT, OUTPUT = "{input}", "{output}"
"""Placeholders in a command for the folder that it reads and the one that it writes."""
RESERVED = ("input", *SIMPLE_NAMES, "base", "adapter", "given", "champion")
"""Reserved names: methods that always run, and folders next to theirs."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|^DAGSTER_|^DECOUPAGE_|WEBHOOK|DATABASE", re.IGNORECASE)

Prompt = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Part = Literal["background", "foreground"]


class ModelBaseline(Section):
    """A published model that diffusers carries."""

    weights: HubId
    """The published model; it decides the licence, wherever the files are."""
    folder: str = Field("", description="folder in diffusers' layout; empty = the Hub's cache. Nothing is downloaded")
    num_steps: int = Field(50, ge=1, le=1000, description="sampling steps")
    guidance: float = Field(4.0, ge=0.0, le=100.0, description="guidance scale, as the pipeline defines it")
    prompt: Prompt = ""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """`auto`: bfloat16 on a GPU, float32 on a CPU."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto = a GPU if there is one")


class SdxlInpainting(ModelBaseline):
    """SDXL inpainting, with steps, guidance and strength of its model card."""

    weights: HubId = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
    num_steps: int = Field(20, ge=2, le=1000, description="sampling steps")
    guidance: float = Field(8.0, ge=0.0, le=100.0, description="classifier-free guidance; none at 1 and below")
    strength: float = Field(0.99, gt=0.0, le=1.0, description="below 1 the noise keeps a trace of the picture")
    prompt: Prompt = "empty background, nothing in the foreground"
    negative_prompt: Prompt = "object, person, animal"
    size_px: int = Field(1024, ge=64, le=2048, description="side of a square with as many pixels as the model works on")


class FluxFill(ModelBaseline):
    """FLUX.1-Fill, with steps and guidance of its model card. Its guidance is distilled: no negative prompt."""

    weights: HubId = "black-forest-labs/FLUX.1-Fill-dev"
    guidance: float = Field(30.0, ge=0.0, le=100.0, description="embedded guidance")
    prompt: Prompt = "empty background, nothing in the foreground"
    size_px: int = Field(1024, ge=64, le=2048, description="side of a square with as many pixels as the model works on")


class QwenImageEdit(ModelBaseline):
    """Qwen-Image-Edit with a mask; its pipeline always works on about one megapixel."""

    weights: HubId = "Qwen/Qwen-Image-Edit"
    prompt: Prompt = "Remove the object in the masked area and show the background behind it."
    negative_prompt: Prompt = " "
    strength: float = Field(1.0, gt=0.0, le=1.0, description="1 = the masked area starts from noise alone")


class QwenImageLayered(ModelBaseline):
    """Qwen-Image-Layered, which takes a picture apart without a mask; the layer closest to the mask is its output."""

    weights: HubId = "Qwen/Qwen-Image-Layered"
    prompt: Prompt = Field("", description="empty = the model writes a caption itself")
    negative_prompt: Prompt = " "
    num_layers: int = Field(4, ge=2, le=16, description="number of layers that it makes")
    size_px: Literal[640, 1024] = 640
    """Side of a square with as many pixels as the model works on: one of its two buckets."""


class ExternalBaseline(Section):
    """A method in its own repository: a command that reads one folder and writes another."""

    name: Name
    command: tuple[str, ...] = Field(min_length=1, description="program and arguments; no shell")
    gives: tuple[Part, ...] = Field(min_length=1, description="background, foreground, or both")
    time_limit_s: int = Field(
        6 * 3600, ge=1, le=30 * 86400, description="time limit for the whole list; then the command is killed"
    )
    licence: str = Field("", max_length=200, description="licence of its code and weights, for the report")
    variables: tuple[str, ...] = Field(
        (), description="environment variables that it gets in addition to the usual ones"
    )

    @field_validator("variables")
    @classmethod
    def _no_secrets(cls, variables: tuple[str, ...]) -> tuple[str, ...]:
        for name in variables:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"{name!r} is not a variable name")
            if _SECRET.search(name):
                raise ValueError(
                    f"{name} may not be passed to foreign programs: it belongs to our settings and secrets"
                )
        return variables

    @field_validator("command")
    @classmethod
    def _has_places(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        for place in (INPUT, OUTPUT):
            if not any(place in argument for argument in command):
                raise ValueError(f"the command must contain {place}, got {list(command)}")
        return command

    @field_validator("gives")
    @classmethod
    def _once(cls, gives: tuple[Part, ...]) -> tuple[Part, ...]:
        if len(set(gives)) != len(gives):
            raise ValueError(f"each part may appear only once, got {', '.join(gives)}")
        return gives


MODELS = ("sdxl_inpainting", "flux_fill", "qwen_image_edit", "qwen_image_layered")
"""Baselines that are part of the product, by the name of their section."""


class BaselinesConfig(Section):
    """The baselines: methods by others, under the same protocol."""

    enabled: tuple[str, ...] = ()
    """Names of the baselines that run, from the sections below and the external entries."""
    sdxl_inpainting: SdxlInpainting = SdxlInpainting()
    flux_fill: FluxFill = FluxFill()
    qwen_image_edit: QwenImageEdit = QwenImageEdit()
    qwen_image_layered: QwenImageLayered = QwenImageLayered()
    external: tuple[ExternalBaseline, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> "BaselinesConfig":
        taken = Counter([*RESERVED, *MODELS, *(entry.name for entry in self.external)])
        twice = sorted(name for name, times in taken.items() if times > 1)
        if twice:
            raise ValueError(f"external: {', '.join(twice)} is the name of another method; choose a free one")
        known = [*MODELS, *(entry.name for entry in self.external)]
        unknown = [name for name in self.enabled if name not in known]
        if unknown:
            raise ValueError(f"enabled: there is no baseline {', '.join(unknown)}; known: {', '.join(known)}")
        if len(set(self.enabled)) != len(self.enabled):
            raise ValueError(f"enabled: each baseline may appear only once, got {', '.join(self.enabled)}")
        return self

    @property
    def models(self) -> dict[str, ModelBaseline]:
        """The enabled baselines that are part of the product, by name."""
        return {name: getattr(self, name) for name in self.enabled if name in MODELS}

    @property
    def commands(self) -> dict[str, ExternalBaseline]:
        """The enabled external baselines, by name."""
        return {entry.name: entry for entry in self.external if entry.name in self.enabled}
