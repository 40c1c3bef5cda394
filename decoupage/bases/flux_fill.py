"""FLUX.1-Fill [dev]: the paper's base. Its projection already takes the masked picture and the mask."""

from typing import ClassVar

from diffusers import DiffusionPipeline, FluxFillPipeline

from decoupage.bases.flux import Flux, Posterior
from decoupage.bases.spec import ContextKind


class FluxFill(Flux):
    """Noisy token 64 | masked picture 64 | packed mask 256 = 384 channels."""

    name = "flux-fill"
    repo_id = "black-forest-labs/FLUX.1-Fill-dev"
    licence = "FLUX.1 [dev] Non-Commercial License"
    context: ClassVar[ContextKind] = "channel"
    projection_dim = 384
    posterior: ClassVar[Posterior] = "sample"

    def pipeline_class(self) -> type[DiffusionPipeline]:
        """FluxFillPipeline."""
        return FluxFillPipeline
