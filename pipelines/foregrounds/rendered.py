"""Rendered objects in place of a generative model: complete, shaded, of one style, and the same every time.

The pictures and their names are in `pipelines.packaged.cutouts`.
"""

from dataclasses import dataclass
from functools import cached_property

from decoupage.faults import BadSetup
from decoupage.fingerprint import Recipe
from decoupage.images.types import Rgba
from decoupage.requirements import Requirement
from pipelines.config import GeneratedConfig
from pipelines.foregrounds.prompts.builtin import Prompt
from pipelines.packaged.cutouts import Cutout, cutouts_of

VERSION = 1
"""Raised whenever a picture of the table changes: it is part of the recipe."""


@dataclass(frozen=True)
class RenderedGenerator:
    """Gives the rendered object that a prompt names: the stand-in for a generative model, named as such everywhere.

    Attributes:
        folder: `generated.rendered_folder`; no part of the recipe, as a name means the same picture in any folder.
    """

    folder: str = ""
    name: str = "rendered"
    licence: str = "mit"
    attribution: str = "Microsoft, Fluent Emoji, github.com/microsoft/fluentui-emoji"

    @property
    def recipe(self) -> Recipe:
        """Everything besides the prompt that decides a picture."""
        return {"generator": self.name, "version": VERSION}

    def generate(self, prompt: Prompt, seed: int) -> Rgba:
        """The picture of a prompt, whatever the seed.

        Raises:
            ValueError: no picture has this name.
            BadItem: its file is damaged.
        """
        if (cutout := self._by_prompt.get(prompt)) is None:
            raise ValueError(f"there is no rendered object {prompt.text!r} of the category {prompt.category!r}")
        return cutout.read()

    @cached_property
    def _by_prompt(self) -> dict[Prompt, Cutout]:
        return {Prompt(cutout.category, cutout.name): cutout for cutout in cutouts_of(self.folder)}


def requirements(config: GeneratedConfig) -> list[Requirement]:
    """The folder of more rendered objects, where the profile names one."""
    if config.generator != "rendered" or not config.rendered_folder:
        return []
    fix = "name a folder with the .webp files of the npm package @lobehub/fluent-emoji-3d, or none"
    try:
        found = cutouts_of(config.rendered_folder)
    except BadSetup as fault:
        return [Requirement("generated.rendered_folder", False, str(fault), fix)]
    return [Requirement("generated.rendered_folder", True, f"{len(found)} in {config.rendered_folder}", "")]
