"""FLUX.1-Fill [dev]: the paper's base. Its projection already takes the masked picture and the mask."""

from diffusers import DiffusionPipeline, FluxFillPipeline

from decoupage.bases.flux import Flux


class FluxFill(Flux):
    """Noisy token 64 | masked picture 64 | packed mask 256 = 384 channels."""

    name = "flux-fill"
    repo_id = "black-forest-labs/FLUX.1-Fill-dev"
    licence = "FLUX.1 [dev] Non-Commercial License"
    context = "channel"
    projection_dim = 384
    posterior = "sample"

    def pipeline_class(self) -> type[DiffusionPipeline]:
        """FluxFillPipeline."""
        return FluxFillPipeline
