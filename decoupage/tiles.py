"""Whether pictures go through the VAEs whole or in tiles; `decoupage.memory` has the rule."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from decoupage.memory import decodes_in_tiles

if TYPE_CHECKING:
    from decoupage.pipeline import LayerDecompositionPipeline
    from decoupage.preparation import Prepared


def in_tiles_if_large(decompose: Callable[..., Any]) -> Callable[..., Any]:
    """The method, with both VAEs in tiles for its length where pictures are larger than usual and on a GPU."""

    @wraps(decompose)
    def tiled(pipe: "LayerDecompositionPipeline", prepared: "Prepared", *arguments: Any, **options: Any) -> Any:
        vaes = _to_tile(pipe, prepared)
        for vae in vaes:
            vae.enable_tiling()
        try:
            return decompose(pipe, prepared, *arguments, **options)
        finally:
            for vae in vaes:
                vae.disable_tiling()

    return tiled


def _to_tile(pipe: "LayerDecompositionPipeline", prepared: "Prepared") -> list[Any]:
    """VAEs that know tiles, do not use them yet, and are to."""
    able = [vae for vae in (pipe.vae, pipe.vae_rgba) if not getattr(vae, "use_tiling", True)]
    if not able or pipe._execution_device.type == "cpu":  # noqa: SLF001 - diffusers' own name
        return []
    height, width = prepared.geometry.content_px
    return able if decodes_in_tiles(pipe.adapter, height * width, _released_bytes(pipe)) else []


def _released_bytes(pipe: "LayerDecompositionPipeline") -> int:
    """Bytes of the network, where model offload takes it off the card before a picture is decoded."""
    if not getattr(pipe, "_all_hooks", None):
        return 0
    return sum(parameter.numel() * parameter.element_size() for parameter in pipe.transformer.parameters())
