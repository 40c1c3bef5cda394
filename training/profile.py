"""The training section of a profile: which recipes, what differs from them, from which weights, and how it is started.

Numbers of a run belong to its recipe; a profile only names recipes and what it changes in them. Imports no torch.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.config import Section
from training.config import TrainingConfig, dotted, with_changes
from training.recipes import find_recipe
from training.rgba_vae.config import RgbaVaeConfig

Launcher = Literal["subprocess", "ray", "k8s"]


class TrainingSection(Section):
    """Which recipes the profile's assets train, what differs from them, and how the processes are started.

    Changes are values by dotted key (`"schedule.num_steps" = 100`); tables in tables (`schedule.num_steps = 100`)
    mean the same.
    """

    recipe: str = Field("paper", description="name of the adapter's recipe")
    rgba_vae: str = Field("rgba_vae", description="name of the RGBA VAE's recipe")
    base: str = Field("", description="folder or owner/name[@revision] of the base; empty = the published one")
    start: str = Field(
        "", description="published adapter that training starts from: a folder, owner/name or `shipped`; empty = none"
    )
    changes: dict[str, Any] = Field({}, description="values that differ from the adapter's recipe")
    rgba_vae_changes: dict[str, Any] = Field({}, description="values that differ from the RGBA VAE's recipe")
    launcher: Launcher = "subprocess"
    """`subprocess`: on this machine; `ray`: accelerate through Ray Train; `k8s`: in its own pod."""
    num_processes: int = Field(1, ge=1, le=4096, description="processes of a run; each takes its part of every batch")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    pod_spec: str = Field("", description="YAML file: pod with image, GPU and the root mounted; for launcher = k8s")

    @field_validator("changes", "rgba_vae_changes", mode="before")
    @classmethod
    def _flattened(cls, values: Any) -> Any:
        return dict(dotted(values)) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _possible(self) -> "TrainingSection":
        adapter, vae = self.adapter_config(), self.rgba_vae_config()
        if adapter.adapter.base != vae.base:
            raise ValueError(
                f"recipe {self.recipe} adapts {adapter.adapter.base}, and rgba_vae {self.rgba_vae} widens the VAE "
                f"of {vae.base}: choose two of one base"
            )
        if self.launcher == "k8s" and not self.pod_spec:
            raise ValueError("pod_spec must name a YAML file when launcher = 'k8s'")
        return self

    def adapter_config(self) -> TrainingConfig:
        """The adapter's recipe with its changes. Raises ValueError: no such recipe, key or value."""
        return _of_kind(TrainingConfig, self.recipe, "recipe", self.changes)

    def rgba_vae_config(self) -> RgbaVaeConfig:
        """The RGBA VAE's recipe with its changes. Raises ValueError: no such recipe, key or value."""
        return _of_kind(RgbaVaeConfig, self.rgba_vae, "rgba_vae", self.rgba_vae_changes)


def _of_kind(kind: Any, name: str, key: str, changes: Mapping[str, Any]) -> Any:
    config = find_recipe(name)
    if not isinstance(config, kind):
        raise ValueError(f"{key} = {name!r} names a recipe of another kind ({type(config).__name__})")
    return with_changes(config, changes)
