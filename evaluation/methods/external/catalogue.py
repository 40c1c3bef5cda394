"""External methods that have a page in docs/baselines/: what they are called there, and what they give.

Any other command can be named in a profile as well; for these, the steps to run them here are documented.
"""

from dataclasses import dataclass

from evaluation.method import BACKGROUND, FOREGROUND


@dataclass(frozen=True)
class External:
    """One method; `licence` is of code and weights, as their publisher states it."""

    title: str
    gives: str
    licence: str


EXTERNAL = {
    "lama": External("LaMa", BACKGROUND, "Apache-2.0"),
    "powerpaint": External("PowerPaint", BACKGROUND, "MIT; weights on Stable Diffusion 1.5: CreativeML Open RAIL-M"),
    "brushnet": External("BrushNet", BACKGROUND, "Apache-2.0, on Stable Diffusion: CreativeML Open RAIL-M"),
    "omnieraser": External("OmniEraser", BACKGROUND, "none stated; on FLUX.1 [dev]: non-commercial"),
    "georemover": External("GeoRemover", BACKGROUND, "see its repository"),
    "matting_anything": External("Matting Anything", FOREGROUND, "MIT"),
    "diffmatte": External("DiffMatte", FOREGROUND, "MIT, by its README"),
}
