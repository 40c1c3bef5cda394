"""The model, for people who only want to use it: bases, contexts, fusion, RGBA VAE, pipeline, publishing.

No data stages and no Dagster here. Importing the package is light; its models load with the names below.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decoupage.adapter import AdapterConfig
    from decoupage.output import LayerDecompositionOutput
    from decoupage.pipeline import LayerDecompositionPipeline

__all__ = ["AdapterConfig", "LayerDecompositionOutput", "LayerDecompositionPipeline"]


def __getattr__(name: str) -> object:
    if name == "LayerDecompositionPipeline":
        from decoupage.pipeline import LayerDecompositionPipeline

        return LayerDecompositionPipeline
    if name == "LayerDecompositionOutput":
        from decoupage.output import LayerDecompositionOutput

        return LayerDecompositionOutput
    if name == "AdapterConfig":
        from decoupage.adapter import AdapterConfig

        return AdapterConfig
    raise AttributeError(f"module 'decoupage' has no attribute {name!r}")
