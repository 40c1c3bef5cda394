"""The stand-ins that a profile uses, which every result of it must name."""

from decoupage.maps.choose import make_makers
from pipelines.config import DataConfig

_DESCRIPTIONS = {"felzenszwalb": "graph regions without classes", "dark_channel": "the haze prior"}


def stand_ins(config: DataConfig) -> dict[str, str]:
    """Stand-in -> what it replaces; empty when the profile uses none."""
    found = {}
    if config.mulan.source == "packaged":
        found["a small MULAN tree cut from packaged photographs (OpenCV GrabCut)"] = "the MULAN data set"
    if config.generated.generator == "rendered":
        found["rendered objects (`rendered`)"] = "LayerDiffuse foregrounds"
    if config.backgrounds.source == "packaged":
        found["packaged photographs"] = "OpenImages backgrounds"
    for maker in make_makers(config.maps):
        if maker.stands_in_for:
            model = maker.recipe["model"]
            found[f"{_DESCRIPTIONS[model]} (`{model}`)"] = maker.stands_in_for
    return found
