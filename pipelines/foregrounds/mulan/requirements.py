"""The requirements of a profile's MULAN on this machine. Folders are walked once, files are not opened."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from decoupage.faults import BadSetup
from decoupage.requirements import Requirement, free_space
from pipelines.config.foregrounds import MulanConfig
from pipelines.foregrounds.mulan.coco_info import info_files
from pipelines.foregrounds.mulan.fetch import is_there
from pipelines.foregrounds.mulan.files import find_annotations
from pipelines.foregrounds.mulan.split import read_list

_PHOTOGRAPH_MB = {"coco": 0.17, "laion": 0.6, "other": 0.17}
"""Size of a photograph by part. COCO 2017: 19.3 GB / 123,287 pictures, rounded up; LAION: a guess for 1 megapixel."""
_EXTRACT = "extract MULAN's archives (docs/data.md), then set DECOUPAGE__MULAN__ANNOTATIONS=FOLDER"
_PLACE = "unpack COCO 2017's train2017.zip and val2017.zip (cocodataset.org), then set DECOUPAGE__MULAN__IMAGES=FOLDER"
_INFO = (
    "curl -L -O http://images.cocodataset.org/annotations/annotations_trainval2017.zip (241 MB), unzip it, then set "
    "DECOUPAGE__MULAN__COCO__INFO=FOLDER"
)
_FETCH = ", or set DECOUPAGE__MULAN__COCO__DOWNLOAD=true to fetch single pictures"


def requirements(config: MulanConfig) -> list[Requirement]:
    """The folders, lists and photographs that must be present, and disk space for photographs to be fetched."""
    if config.source != "folder":
        return []
    return list(chain(_folders(config), _lists(config), _licences(config), _photographs(config)))


def _folders(config: MulanConfig) -> Iterator[Requirement]:
    there = Path(config.annotations).is_dir()
    yield Requirement("mulan.annotations", there, config.annotations, _EXTRACT)
    if config.coco.download:
        yield Requirement("mulan.images", True, f"{config.images}, pictures are fetched into it", "")
    else:
        yield Requirement("mulan.images", Path(config.images).is_dir(), config.images, _PLACE + _FETCH)


def _lists(config: MulanConfig) -> Iterator[Requirement]:
    if config.laion.use and config.laion.links:
        fix = "take file_id_url_linking.csv from MULAN's page, or set DECOUPAGE__MULAN__LAION__LINKS=FILE"
        yield Requirement("mulan.laion.links", Path(config.laion.links).is_file(), config.laion.links, fix)
    if config.test_ids:
        fix = "correct it, or leave mulan.test_ids empty to test on the pictures of val2017"
        try:
            found = f"{len(read_list(Path(config.test_ids)))} ids in {config.test_ids}"
        except BadSetup as fault:
            yield Requirement("mulan.test_ids", False, str(fault), fix)
        else:
            yield Requirement("mulan.test_ids", True, found, fix)


def _licences(config: MulanConfig) -> Iterator[Requirement]:
    """COCO's files on licences; a profile that names none is told what it does without them."""
    if not config.coco.info:
        yield Requirement("mulan.coco.info", True, "not named: COCO's photographs count as of unknown licence", _INFO)
        return
    try:
        found = ", ".join(map(str, info_files(Path(config.coco.info))))
    except BadSetup as fault:
        yield Requirement("mulan.coco.info", False, str(fault), _INFO)
    else:
        yield Requirement("mulan.coco.info", True, found, _INFO)


def _photographs(config: MulanConfig) -> Iterator[Requirement]:
    """The requirement on photographs and disk; nothing when there are no annotations to count."""
    if not Path(config.annotations).is_dir():
        return
    images = Path(config.images)
    num_used, missing = 0, []
    for file in find_annotations(Path(config.annotations)):
        if file.first_with_id is not None or (file.part == "laion" and not config.laion.use):
            continue
        num_used += 1
        if not is_there(images, file.id):
            missing.append(file.part)
    fetched = [part for part in missing if _is_fetched(part, config)]
    found = f"{len(missing)} of {num_used} missing, {len(fetched)} of them are fetched"
    present = bool(num_used) and len(missing) == len(fetched)
    fix = _PLACE + _FETCH if num_used else _EXTRACT
    yield Requirement("mulan.photographs", present, found if num_used else "no annotations", fix)
    if fetched:
        yield _disk(images, sum(_PHOTOGRAPH_MB[part] for part in fetched) / 1e3)


def _is_fetched(part: str, config: MulanConfig) -> bool:
    return (part == "coco" and config.coco.download) or (part == "laion" and bool(config.laion.links))


def _disk(images: Path, wanted_gb: float) -> Requirement:
    free_gb, folder = free_space(images)
    found = f"about {wanted_gb:.1f} GB of photographs to fetch, {free_gb:.1f} GB free at {folder}"
    fix = "free space, or set DECOUPAGE__MULAN__IMAGES to a folder on a larger disk"
    return Requirement("mulan.disk", free_gb > wanted_gb, found, fix)
