"""FLUX.1-Kontext [dev]: the paper's other base, an editing model, in two forms."""

from collections.abc import Mapping
from typing import ClassVar

from diffusers import DiffusionPipeline, FluxKontextPipeline

from decoupage.bases.flux import Flux
from decoupage.bases.spec import ContextKind


class FluxKontext(Flux):
    """Context by channels, as Fill takes it: only the base weights differ, so the comparison is fair."""

    name = "flux-kontext"
    repo_id = "black-forest-labs/FLUX.1-Kontext-dev"
    licence = "FLUX.1 [dev] Non-Commercial License"
    context: ClassVar[ContextKind] = "channel"
    projection_dim = 64
    posterior = "mode"

    def pipeline_class(self) -> type[DiffusionPipeline]:
        """FluxKontextPipeline."""
        return FluxKontextPipeline


class FluxKontextNative(FluxKontext):
    """Context by sequence, as Kontext itself takes it: the picture's tokens follow, at layer 1 of the ids."""

    name = "flux-kontext-native"
    context: ClassVar[ContextKind] = "sequence"
    layers: ClassVar[Mapping[str, int]] = {"background": 0, "picture": 1, "foreground": 2}
