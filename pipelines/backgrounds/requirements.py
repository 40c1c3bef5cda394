"""The requirements of a profile's photographs on this machine: folders or lists, and disk space for downloads."""

from pathlib import Path

from decoupage.requirements import Requirement, Space
from pipelines.backgrounds.openimages.lists import find, is_address, wanted
from pipelines.backgrounds.openimages.originals import BATCH, MAX_ORIGINAL_BYTES
from pipelines.config import BackgroundConfig, OpenImagesConfig
from pipelines.stages.store import Store

_LISTS_GB = {"classes": 0.001, "images": 0.7, "labels": 2.8, "boxes": 2.3}
"""Upper bounds of the sizes of train's lists; those of validation and test are a twentieth of that."""


_MB_PER_MEGAPIXEL = 0.4
"""JPEG 4:4:4 of quality 95: the mean of 74 photographs, 0.30 of the 35 larger ones of them (1.4 to 1.9 megapixels)."""


def requirements(config: BackgroundConfig, folder: str) -> list[Requirement]:
    """The folder, or the lists and disk space, that the profile's source requires; nothing for packaged photographs.

    Args:
        folder: where fetched photographs and lists are stored, a path or an address.
    """
    if config.source == "folder":
        there = Path(config.folder).is_dir() or Store(config.folder).names("") != []
        fix = "put photographs there, or set DECOUPAGE__BACKGROUNDS__FOLDER=FOLDER"
        return [Requirement("backgrounds.folder", there, config.folder, fix)]
    if config.source == "openimages":
        return [*_lists(config), _photographs(config, folder)]
    return []


def _lists(config: BackgroundConfig) -> list[Requirement]:
    found = []
    for name, place in wanted(config.openimages).items():
        file = None if is_address(place) else find(place)
        present = is_address(place) or file is not None
        where = f"{place}, fetched when it is needed" if is_address(place) else str(file or place)
        fix = f"fetch it, or name another in backgrounds.openimages.paths ({name!r})"
        found.append(Requirement(f"openimages.{name}", present, where, fix))
    return found


def _originals_gb(config: OpenImagesConfig) -> float:
    """Reduced originals of all images, and a batch of them as it arrives."""
    if not config.originals:
        return 0.0
    return config.num_images * config.originals_mp * _MB_PER_MEGAPIXEL / 1e3 + BATCH * MAX_ORIGINAL_BYTES / 1e9


def _photographs(config: BackgroundConfig, folder: str) -> Requirement:
    """A local folder for what the run fetches, with the room that is still wanted there."""
    if not Store(folder).is_local:
        fix = "set DECOUPAGE_ROOT to a folder, or fetch the photographs elsewhere and use source = 'folder'"
        return Requirement("openimages.folder", False, f"{folder} is not a local folder", fix)
    fetched = [name for name, place in wanted(config.openimages).items() if is_address(place)]
    lists_gb = sum(_LISTS_GB[name.rpartition(".")[2]] / (1 if "train" in name else 20) for name in fetched)
    most_gb = config.openimages.max_gb + lists_gb + _originals_gb(config.openimages)
    there_gb = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e9
    found = f"at most {most_gb:.1f} GB of photographs and lists are fetched, {there_gb:.1f} GB of it are there"
    space = Space("OpenImages' photographs and lists, at most", folder, max(0.0, most_gb - there_gb))
    return Requirement("openimages.folder", True, found, "", (space,))
