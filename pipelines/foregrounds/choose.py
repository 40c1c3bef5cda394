"""Chooses the generator that the profile names."""

from pipelines.config import GeneratedConfig
from pipelines.foregrounds.generator import ForegroundGenerator
from pipelines.foregrounds.layerdiffuse.generator import LayerDiffuseGenerator
from pipelines.foregrounds.layerdiffuse.settings import settings
from pipelines.foregrounds.procedural.generator import ProceduralGenerator


def make_generator(config: GeneratedConfig) -> ForegroundGenerator:
    """The generator that the profile names in `generated.generator`."""
    if config.generator == "procedural":
        return ProceduralGenerator(config.size_px)
    return LayerDiffuseGenerator(settings(config))
