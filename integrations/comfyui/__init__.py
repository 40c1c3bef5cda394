"""A node of ComfyUI that takes pictures apart; docs/comfyui.md says how to install it.

ComfyUI imports this folder from its `custom_nodes` and looks for `NODE_CLASS_MAPPINGS`. Pictures are [B, H, W, C] in
[0, 1], masks [B, H, W]; as an alpha, ComfyUI's "Join Image with Alpha" takes a mask that is 1 where nothing is seen.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

MAX_SEED = 2**64 - 1


class TakeApart:
    """One object of each picture: as a complete layer, and the picture without it."""

    CATEGORY = "image/layers"
    FUNCTION = "take_apart"
    RETURN_TYPES = ("IMAGE", "MASK", "IMAGE", "MASK")
    RETURN_NAMES = ("foreground", "foreground_alpha", "background", "used_mask")
    DESCRIPTION = (
        "Takes the object under the mask off the picture. Join foreground and foreground_alpha with 'Join Image with "
        "Alpha' for a transparent picture."
    )
    OUTPUT_TOOLTIPS: ClassVar[tuple[str, ...]] = (
        "The object's colours.",
        "For 'Join Image with Alpha': 1 where the object is not.",
        "The picture without the object.",
        "What was taken for the object: 1 on it.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The inputs, as ComfyUI asks for them."""
        model = {"default": "", "tooltip": "Folder or Hub id of an adapter; empty = the small one that is packaged."}
        return {
            "required": {
                "image": ("IMAGE",),
                "mask": ("MASK", {"tooltip": "1 on the object, as the mask editor paints it."}),
                "seed": ("INT", {"default": 0, "min": 0, "max": MAX_SEED}),
                "steps": ("INT", {"default": 0, "min": 0, "max": 1000, "tooltip": "0 = the adapter's own."}),
            },
            "optional": {"model": ("STRING", model), "prompt": ("STRING", {"default": "", "multiline": True})},
        }

    def take_apart(
        self, image: Any, mask: Any, seed: int, steps: int, model: str = "", prompt: str = ""
    ) -> tuple[Any, Any, Any, Any]:
        """Take the pictures of a batch apart, one after another.

        Args:
            image: [B, H, W, 3]; mask: [B or 1, H, W].
            seed: of every picture; steps: 0 = the adapter's own.

        Returns:
            (foreground [B, H, W, 3], 1 - its alpha [B, H, W], background [B, H, W, 3], used mask [B, H, W]).

        Raises:
            ValueError: nothing is masked, the sizes differ, or the model is not here.
        """
        import torch

        if not mask.any():
            raise ValueError("the mask is empty: paint the object in the mask editor, or connect a mask of it")
        if len(mask) not in (1, len(image)) or mask.shape[1:] != image.shape[1:3]:
            raise ValueError(
                f"the mask has the shape {tuple(mask.shape)}, and the pictures {tuple(image.shape[:3])}: one mask for "
                "all or one for each, of their size"
            )
        pipe = _loaded(model.strip())
        num_steps = steps or pipe.adapter.num_inference_steps
        after_step = _progress(num_steps * len(image))
        made = [
            _layers(pipe, picture, mask[number % len(mask)], seed, num_steps, prompt, after_step)
            for number, picture in enumerate(image)
        ]
        return tuple(torch.stack(layers) for layers in zip(*made, strict=True))


def _layers(
    pipe: Any, picture_HWC: Any, mask_HW: Any, seed: int, num_steps: int, prompt: str, after_step: Callable[..., Any]
) -> tuple[Any, Any, Any, Any]:
    """What `decoupage decompose` makes of the same picture, mask and seed."""
    import numpy as np
    import torch
    from PIL import Image

    rgb = (picture_HWC[..., :3].cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    result = pipe(
        Image.fromarray(rgb),
        mask=mask_HW.cpu().numpy() >= 0.5,
        prompt=prompt,
        num_inference_steps=num_steps,
        generator=torch.Generator("cpu").manual_seed(seed),
        output_type="pil",
        callback_on_step_end=after_step,
    )

    def tensor(layer: Image.Image) -> Any:
        return torch.from_numpy(np.asarray(layer, np.float32) / 255)

    foreground = tensor(result.foreground[0])
    return foreground[..., :3], 1 - foreground[..., 3], tensor(result.background[0]), tensor(result.mask[0])


@lru_cache(maxsize=1)
def _loaded(model: str) -> Any:
    """The pipeline, kept until another model is asked for."""
    from decoupage.asked_model import AskedModel, place_of

    pipe = AskedModel(model or None, None, "auto", *place_of("auto", "auto")).load()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _progress(num_steps: int) -> Callable[..., None]:
    """What the pipeline calls after each step: ComfyUI's bar moves, and its Cancel stops the work."""
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted
        from comfy.utils import ProgressBar
    except ImportError:  # Outside of ComfyUI.
        return lambda *_: None
    bar = ProgressBar(num_steps)

    def after_step(*_: Any) -> None:
        bar.update(1)
        throw_exception_if_processing_interrupted()

    return after_step


NODE_CLASS_MAPPINGS = {"DecoupageTakeApart": TakeApart}
NODE_DISPLAY_NAME_MAPPINGS = {"DecoupageTakeApart": "Take apart into layers (decoupage)"}
