"""Loads a published decoupage adapter through diffusers; needs the package `decoupage`.

    DiffusionPipeline.from_pretrained(BASE, custom_pipeline=THIS_FOLDER_OR_REPOSITORY, trust_remote_code=True)

The base is loaded by diffusers; the adapter is put on it here. What comes back is a
`decoupage.LayerDecompositionPipeline`. Diffusers demands that this file defines one pipeline class and no more.
"""

import inspect
from typing import Any

from diffusers import DiffusionPipeline


class LayerDecomposition(DiffusionPipeline):
    """Stands in for LayerDecompositionPipeline while diffusers loads; an instance of it is the true pipeline instead.

    Args:
        published: folder or Hub repository of the adapter; None = the one that this file came from.
    """

    def __new__(cls, published: str | None = None, **components: Any) -> Any:
        """The true pipeline, from the base's components and the published adapter."""
        from decoupage.pipeline import LayerDecompositionPipeline
        from decoupage.publishing import attach_adapter

        revision = None
        if published is None:
            published, revision = _source()
        return LayerDecompositionPipeline.of(attach_adapter(published, components, revision=revision))

    def __init__(
        self,
        transformer: Any,
        vae: Any,
        scheduler: Any,
        text_encoder: Any,
        tokenizer: Any,
        text_encoder_2: Any,
        tokenizer_2: Any,
        published: str | None = None,
    ) -> None:
        """Never called; diffusers reads here which components to load."""


def _source() -> tuple[str, str | None]:
    """The (folder or repository, revision) that `from_pretrained` was called with.

    Diffusers copies this file into a cache and does not pass on where it came from, so the call's frame is read.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "from_pretrained" and frame.f_globals["__name__"].startswith("diffusers."):
            source = frame.f_locals.get("custom_pipeline")
            if source is not None:
                return str(source).removesuffix("pipeline.py") or ".", frame.f_locals.get("custom_revision")
        frame = frame.f_back
    raise ValueError("say which adapter to load: from_pretrained(..., published=FOLDER)")
