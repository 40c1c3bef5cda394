"""Each published model as a method: the inputs of its pipeline, the size, and which output is its answer.

Nothing is pasted back here: the protocol does that for every method.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from decoupage.faults import BadOutput
from decoupage.images.sizes import Geometry, resize_picture, resize_rgba, working_geometry
from decoupage.images.types import Array, Mask
from evaluation.cases import Case
from evaluation.config.baselines import FluxFill, QwenImageEdit, QwenImageLayered, SdxlInpainting
from evaluation.method import Layers
from evaluation.methods.noise import seeded
from evaluation.methods.published.catalogue import PUBLISHED

PATCH_PX = 16
"""The VAE shrinks by 8 and the transformer takes 2 x 2 latents; SD-XL's levels want no less."""

Ask = Callable[[Case, Any], Layers]


class PublishedMethod:
    """A pipeline with the way in which it is asked.

    Args:
        ask: the layers of one case, given its noise.
    """

    def __init__(self, name: str, pipe: Any, ask: Ask, seed: int) -> None:
        self.name, self.gives = name, frozenset([PUBLISHED[name].gives])
        self.pipe, self._ask, self._seed = pipe, ask, seed
        pipe.set_progress_bar_config(disable=True)

    def __call__(self, case: Case) -> Layers:
        """See `Method`."""
        with seeded(self._seed, case) as noise, _quiet():
            return self._ask(case, noise)


def sdxl_inpainting(config: SdxlInpainting, pipe: Any, seed: int) -> PublishedMethod:
    """SD-XL Inpainting."""

    def ask(case: Case, noise: Any) -> Layers:
        geometry = working_geometry(case.size, PATCH_PX, config.size_px)
        out = pipe(
            **_picture_and_mask(case, geometry),
            prompt=config.prompt,
            negative_prompt=config.negative_prompt,
            guidance_scale=config.guidance,
            strength=config.strength,
            num_inference_steps=config.num_steps,
            generator=noise,
            output_type="np",
        )
        return _background(out.images[0], geometry)

    return PublishedMethod("sdxl_inpainting", pipe, ask, seed)


def flux_fill(config: FluxFill, pipe: Any, seed: int) -> PublishedMethod:
    """FLUX.1 Fill [dev], as it is published: with a prompt, and without what this project trains."""

    def ask(case: Case, noise: Any) -> Layers:
        geometry = working_geometry(case.size, PATCH_PX, config.size_px)
        out = pipe(
            **_picture_and_mask(case, geometry),
            prompt=config.prompt,
            guidance_scale=config.guidance,
            num_inference_steps=config.num_steps,
            generator=noise,
            output_type="np",
        )
        return _background(out.images[0], geometry)

    return PublishedMethod("flux_fill", pipe, ask, seed)


def qwen_image_edit(config: QwenImageEdit, pipe: Any, seed: int) -> PublishedMethod:
    """Qwen-Image-Edit through its inpainting pipeline, so that it gets the same mask as all others.

    The pipeline itself brings the picture to about one megapixel, sides in multiples of 32, and takes nothing else.
    """

    def ask(case: Case, noise: Any) -> Layers:
        out = pipe(
            image=Image.fromarray(case.composite),
            mask_image=Image.fromarray(case.mask.astype(np.uint8) * 255),
            prompt=config.prompt,
            negative_prompt=config.negative_prompt,
            true_cfg_scale=config.guidance,
            strength=config.strength,
            num_inference_steps=config.num_steps,
            generator=noise,
            output_type="np",
        )
        return Layers(background=resize_picture(levels(out.images[0])[..., :3], case.size))

    return PublishedMethod("qwen_image_edit", pipe, ask, seed)


def qwen_image_layered(config: QwenImageLayered, pipe: Any, seed: int) -> PublishedMethod:
    """Qwen-Image-Layered. It takes no mask, so its answer is the layer whose alpha overlaps the given mask most."""

    def ask(case: Case, noise: Any) -> Layers:
        out = pipe(
            image=Image.fromarray(case.composite).convert("RGBA"),
            prompt=config.prompt,
            negative_prompt=config.negative_prompt,
            true_cfg_scale=config.guidance,
            layers=config.num_layers,
            resolution=config.size_px,
            num_inference_steps=config.num_steps,
            use_en_prompt=True,
            generator=noise,
            output_type="np",
        )
        layers = [resize_rgba(levels(layer), case.size) for layer in out.images[0]]
        return Layers(foreground=best_layer(layers, case.mask))

    return PublishedMethod("qwen_image_layered", pipe, ask, seed)


def best_layer(layers: Sequence[Array], mask: Mask) -> Array:
    """The layer whose alpha has the highest soft IoU with the given mask; of equals, the lowest one."""
    return max(layers, key=lambda layer: _overlap(layer[..., 3], mask))


def _overlap(alpha: Array, mask: Mask) -> float:
    shown, wanted = alpha.astype(np.float64) / 255, mask.astype(np.float64)
    return float(np.minimum(shown, wanted).sum() / max(np.maximum(shown, wanted).sum(), 1.0))


def _picture_and_mask(case: Case, geometry: Geometry) -> dict[str, Any]:
    """What diffusers' inpainting pipelines take; on the canvas, at the size that they then keep."""
    picture = geometry.picture(case.composite.astype(np.float32) / np.float32(255))
    mask = geometry.mask(case.mask, "half").astype(np.uint8) * 255
    height, width = geometry.canvas_px
    return {
        "image": Image.fromarray(np.rint(picture * 255).astype(np.uint8)),
        "mask_image": Image.fromarray(mask),
        "height": height,
        "width": width,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Pipelines repeat the same advice for every picture; faults still come as exceptions."""
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def levels(picture: Array) -> Array:
    """uint8 [H, W, C] of a pipeline's picture [H, W, C] in [0, 1], rounded as diffusers rounds for PIL.

    Raises:
        BadOutput: values that are not finite; diffusers' own pictures show them black.
    """
    if not (finite := np.isfinite(picture)).all():
        raise BadOutput(
            f"the pipeline gave values that are not finite ({1 - finite.mean():.1%} of its picture): set another dtype "
            "in the profile, or get its weights again"
        )
    return (picture * 255).round().astype(np.uint8)


def _background(picture: Array, geometry: Geometry) -> Layers:
    back = geometry.undo(levels(picture).astype(np.float32) / np.float32(255))
    return Layers(background=np.rint(back * 255).astype(np.uint8))
