"""The stand-ins that a profile uses, which every result of it must name."""

from pipelines.config import DataConfig


def stand_ins(config: DataConfig) -> dict[str, str]:
    """Stand-in -> what it replaces; empty when the profile uses none."""
    found = {}
    if config.mulan.source == "packaged":
        found["a small MULAN tree cut from packaged photographs (OpenCV GrabCut)"] = "the MULAN data set"
    if config.generated.generator == "procedural":
        found["procedural shapes (`procedural`)"] = "LayerDiffuse foregrounds"
    if config.backgrounds.source == "packaged":
        found["photographs packaged with scikit-image, scikit-learn and matplotlib"] = "OpenImages backgrounds"
    if config.maps.segmentation.model == "felzenszwalb":
        found["graph regions without classes (`felzenszwalb`)"] = "SegFormer"
    if config.maps.depth.model == "dark_channel":
        found["the haze prior (`dark_channel`)"] = "Depth-Anything-V2"
    return found
