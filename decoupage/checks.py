"""Checks of a call of the pipeline: its arguments before any work, and whether its outputs are finite."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from decoupage.bases.spec import Text
from decoupage.faults import BadOutput
from decoupage.images.masks import as_mask


def given_masks(mask: Any, layers: Sequence[Any] | None, size: tuple[int, int], num_pictures: int) -> list[Tensor]:
    """The masks of a call, [B or 1, 1, H, W] each: one for `mask`, one for each of `layers`.

    Args:
        size: (height, width) of the pictures, px.
        num_pictures: how many there are.

    Raises:
        ValueError: both or neither is given, a mask is not one (`as_mask`), or their number does not fit.
    """
    if (mask is None) == (layers is None):
        raise ValueError("give either mask= (one per picture) or layers= (several masks of one picture)")
    if layers is None:
        masks = as_mask(mask, size)
        if len(masks) not in (1, num_pictures) and num_pictures != 1:
            raise ValueError(f"there are {len(masks)} masks for {num_pictures} pictures: give one, or one per picture")
        return [masks]
    each = [as_mask(one, size) for one in layers]
    if num_pictures != 1 or not each:
        raise ValueError(f"layers= takes one picture and at least one mask, got {num_pictures} and {len(each)}")
    if several := [len(one) for one in each if len(one) != 1]:
        raise ValueError(f"layers= takes a list of single masks, one of them is a batch of {several[0]}")
    return each


def check_options(
    num_pictures: int, prompt: Any, num_inference_steps: int | None, guidance_scale: float, generator: Any
) -> None:
    """Raise ValueError, naming the argument, for options that no picture can be made with, or of a wrong number."""
    if num_inference_steps is not None and (not _is_whole(num_inference_steps) or num_inference_steps < 1):
        raise ValueError(f"num_inference_steps must be a whole number of at least 1, got {num_inference_steps!r}")
    if not (isinstance(guidance_scale, Real) and math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise ValueError(f"guidance_scale must be a finite number of at least 0, got {guidance_scale!r}")
    if prompt is not None and not isinstance(prompt, str | Text):
        if not isinstance(prompt, list | tuple) or not all(isinstance(one, str) for one in prompt):
            raise ValueError(f"prompt must be text, or a list with one text per picture, got {prompt!r:.100}")
        if len(prompt) != num_pictures:
            counts = f"{_count(prompt, 'prompt')} for {_pictures(num_pictures)}"
            raise ValueError(f"there are {counts}: give one per picture")
    if generator is not None and not isinstance(generator, torch.Generator):
        if not isinstance(generator, list) or not all(isinstance(one, torch.Generator) for one in generator):
            raise ValueError(f"generator must be a torch.Generator, or a list of them, got {generator!r:.100}")
        if len(generator) != num_pictures:
            counts = f"{_count(generator, 'generator')} for {_pictures(num_pictures)}"
            raise ValueError(f"there are {counts}: give one for all, or one per picture")


def check_finite(dtype: torch.dtype, **outputs: Tensor) -> None:
    """Raise BadOutput where outputs of the networks are not finite: a black picture would be made of them.

    Args:
        dtype: that the networks work in, for the remedy.
        outputs: of any shapes, by what they are.
    """
    # A sum passes on what is not finite, costs a fraction of looking at each value, and rarely overflows.
    suspect = {what: values for what, values in outputs.items() if not bool(torch.isfinite(values.sum()))}
    shares = {what: 1 - float(torch.isfinite(values).float().mean()) for what, values in suspect.items()}
    if found := [f"{share:.1%} of the {what.replace('_', ' ')}" for what, share in shares.items() if share > 0]:
        other = {torch.float16: "bfloat16 or float32", torch.float32: ""}.get(dtype, "float32")
        other = f"try dtype (--dtype) {other} instead of {str(dtype).removeprefix('torch.')}, and " if other else ""
        raise BadOutput(
            f"{' and '.join(found)} is not finite (NaN or infinite), so there is no picture: {other}check the weights "
            "of adapter and base"
        )


def _is_whole(number: Any) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def _count(items: Sequence[Any], name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"


def _pictures(number: int) -> str:
    return f"{number} picture{'' if number == 1 else 's'}"
