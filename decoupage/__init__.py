"""The model, for people who only want to use it: bases, contexts, fusion, RGBA VAE, pipeline, publishing.

No data stages and no Dagster here. Importing the package is light; its models load with the names below.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decoupage.adapter import AdapterConfig
    from decoupage.output import LayerDecompositionOutput
    from decoupage.pipeline import LayerDecompositionPipeline

__all__ = ["AdapterConfig", "LayerDecompositionOutput", "LayerDecompositionPipeline"]
_MODULES = {"AdapterConfig": "adapter", "LayerDecompositionOutput": "output", "LayerDecompositionPipeline": "pipeline"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'decoupage' has no attribute {name!r}")
    return getattr(import_module(f"decoupage.{_MODULES[name]}"), name)
