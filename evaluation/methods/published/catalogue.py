"""What is known of each published model before it is loaded: its pipeline, its licence, what it gives."""

from dataclasses import dataclass

from evaluation.method import BACKGROUND, FOREGROUND


@dataclass(frozen=True)
class Published:
    """One model.

    Attributes:
        title: as papers name it.
        pipeline: class in diffusers; network: its component that predicts.
        licence: of its weights.
        gated: whether the publisher asks for consent to the licence before a download.
        gives: `background` or `foreground`.
        packages: that its pipeline needs beyond the core ones.
    """

    title: str
    pipeline: str
    network: str
    licence: str
    gives: str
    gated: bool = False
    packages: tuple[str, ...] = ()


PUBLISHED = {
    "sdxl_inpainting": Published(
        "SD-XL Inpainting", "StableDiffusionXLInpaintPipeline", "unet", "CreativeML Open RAIL++-M", BACKGROUND
    ),
    "flux_fill": Published(
        "FLUX.1 Fill [dev]",
        "FluxFillPipeline",
        "transformer",
        "FLUX.1 [dev] Non-Commercial License",
        BACKGROUND,
        gated=True,
    ),
    "qwen_image_edit": Published(
        "Qwen-Image-Edit",
        "QwenImageEditInpaintPipeline",
        "transformer",
        "Apache-2.0",
        BACKGROUND,
        packages=("torchvision",),
    ),
    "qwen_image_layered": Published(
        "Qwen-Image-Layered",
        "QwenImageLayeredPipeline",
        "transformer",
        "Apache-2.0",
        FOREGROUND,
        packages=("torchvision",),
    ),
}
"""By the name of their section in `[evaluation.baselines]`."""
