"""What a pipeline makes of prompts: the empty one's embedding comes with the adapter, others ask for text encoders."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from decoupage.bases.spec import Text
from decoupage.placing import place_parts

if TYPE_CHECKING:
    from decoupage.pipeline import LayerDecompositionPipeline


def embedded(
    pipe: "LayerDecompositionPipeline", prompt: str | Sequence[str] | Text, number: int, device: torch.device
) -> Text:
    """The embedding of a prompt for a number of pictures, or of one prompt for each.

    Raises:
        ValueError, OSError: text encoders are needed, and their weights are damaged or not here.
    """
    if isinstance(prompt, Text):
        return prompt.repeated(number, device)
    prompts = [prompt] * number if isinstance(prompt, str) else list(prompt)
    if pipe.empty_prompt is not None and not any(prompts):
        return pipe.empty_prompt.repeated(number, device, pipe.transformer.dtype)
    if pipe.load_text is not None and not has_encoders(pipe):
        parts = pipe.load_text()
        pipe.register_modules(**parts)
        place_parts(pipe, parts)
    return pipe.base.embed_text(pipe.components, prompts, device)


@torch.no_grad()
def empty_prompt(pipe: "LayerDecompositionPipeline") -> Text | None:
    """The empty prompt's embedding, for a published folder; None for a base that knows no text, or without encoders."""
    if pipe.empty_prompt is None and has_encoders(pipe):
        return pipe.base.embed_text(pipe.components, [""], pipe._execution_device)  # noqa: SLF001 - diffusers' own name
    return pipe.empty_prompt


def has_encoders(pipe: "LayerDecompositionPipeline") -> bool:
    """Whether a pipeline holds all that its base embeds prompts with; False for a base that knows no text."""
    parts = pipe.base.text_parts
    return bool(parts) and all(pipe.components[name] is not None for name in parts)
