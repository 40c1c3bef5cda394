"""What a LayerDiffuse run is set to: the profile's values, and the publishers' where it leaves them open.

Names and numbers only; nothing is loaded here.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from decoupage.fingerprint import Recipe
from decoupage.weights.hub import split_revision
from pipelines.config import GeneratedConfig

Family = Literal["sdxl", "flux"]
File = tuple[str, str]
"""(Hub repository that publishes it, name of the file)."""

VERSION = 1
"""Raised whenever the same settings would paint something else: it is part of the recipe."""
PROMPT_SUFFIX = ", high quality"
"""Published examples end so."""
SDXL_BASE = "stabilityai/stable-diffusion-xl-base-1.0"
FLUX_BASE = "black-forest-labs/FLUX.1-dev"
SDXL_DELTAS: File = ("lllyasviel/LayerDiffuse_Diffusers", "ld_diffusers_sdxl_attn.safetensors")
SDXL_LORA: File = ("rootonchair/diffuser_layerdiffuse", "diffuser_layer_xl_transparent_attn.safetensors")
SDXL_DECODER: File = ("lllyasviel/LayerDiffuse_Diffusers", "ld_diffusers_sdxl_vae_transparent_decoder.safetensors")
FLUX_LORA: File = ("RedAIGC/Flux-version-LayerDiffuse", "layerlora.safetensors")
FLUX_DECODER: File = ("RedAIGC/Flux-version-LayerDiffuse", "TransparentVAE.pth")
LICENCES: dict[Family, str] = {"sdxl": "creativeml-openrail-m", "flux": "flux-1-dev-non-commercial"}
"""What pictures come under. SDXL: LayerDiffuse's files are CreativeML OpenRAIL-M, the base OpenRAIL++-M; both claim no
rights in pictures and pass their use restrictions on. FLUX.1 [dev]: the base's; its LayerDiffuse files name none."""


@dataclass(frozen=True)
class Settings:
    """All values of a run.

    Attributes:
        adapter: the file that gives the base transparency.
        decoder: the file of the transparent decoder.
        weights: where both files lie instead, `owner/name[@revision]` or a folder; empty = each with its publisher.
    """

    family: Family
    base: str
    weights: str
    variant: Literal["deltas", "lora"]
    adapter: File
    decoder: File
    height_px: int
    width_px: int
    num_steps: int
    guidance: float
    negative_prompt: str
    dtype: Literal["float16", "bfloat16", "float32"]
    device: str
    batch_size: int

    @property
    def base_name(self) -> str:
        """The base without its owner or the folder it lies in, and without a revision: the same wherever it is."""
        return split_revision(self.base)[0].rstrip("/").rsplit("/", 1)[-1]

    @property
    def recipe(self) -> Recipe:
        """What decides a picture; device and batch size change the rounding of floats only.

        Files stand here by name. What is in them is held by `pipelines.foregrounds.generate`.
        """
        decides = asdict(self)
        for name in ("device", "batch_size", "weights"):
            del decides[name]
        named = {"base": self.base_name, "adapter": self.adapter[1], "decoder": self.decoder[1]}
        return decides | named | {"version": VERSION, "prompt_suffix": PROMPT_SUFFIX}


def settings(config: GeneratedConfig) -> Settings:
    """The settings that a profile's `[generated]` means.

    Raises:
        ValueError: the profile asks for another generator.
    """
    if config.generator == "rendered":
        raise ValueError("generated.generator must be layerdiffuse or layerdiffuse_flux, got rendered")
    flux = config.generator == "layerdiffuse_flux"
    variant = config.variant or ("lora" if flux else "deltas")
    if flux:
        adapter, decoder = FLUX_LORA, FLUX_DECODER
    else:
        adapter, decoder = SDXL_DELTAS if variant == "deltas" else SDXL_LORA, SDXL_DECODER
    return Settings(
        family="flux" if flux else "sdxl",
        base=config.base or (FLUX_BASE if flux else SDXL_BASE),
        weights=config.weights,
        variant=variant,
        adapter=adapter,
        decoder=decoder,
        height_px=config.height_px or config.size_px,
        width_px=config.width_px or config.size_px,
        num_steps=config.num_steps or (50 if flux else 25),
        guidance=(3.5 if flux else 7.0) if config.guidance is None else config.guidance,
        negative_prompt="" if flux else config.negative_prompt,
        dtype=config.dtype or ("bfloat16" if flux else "float16"),
        device=config.device,
        batch_size=config.batch_size,
    )
