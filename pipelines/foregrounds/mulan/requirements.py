"""The requirements of a profile's MULAN on this machine. Folders are walked once, files are not opened."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from decoupage.faults import BadSetup
from decoupage.requirements import Requirement, Space
from pipelines.config.foregrounds import MulanConfig
from pipelines.foregrounds.mulan.coco_info import info_files
from pipelines.foregrounds.mulan.fetch import is_there
from pipelines.foregrounds.mulan.files import find_annotations
from pipelines.foregrounds.mulan.split import read_list

_PHOTOGRAPH_MB = {"coco": 0.17, "laion": 0.6, "other": 0.17}
"""Size of a photograph by part. COCO 2017: 19.3 GB / 123,287 pictures, rounded up; LAION: a guess for 1 megapixel."""
_COCO_GB = 19.3
_NUM_COCO = 16_034
_ARCHIVE_GB = 349 * 104_857_600 / 1e9
_UNPACKED_GB = _ARCHIVE_GB * _NUM_COCO / 44_860
"""MULAN's archive in 349 parts; of its files 16,034 are COCO's, here taken to be as large as the others and, being zlib
streams, no smaller for being packed again."""
_EXTRACT = "unpack MULAN's archive (docs/data.md), then set DECOUPAGE__MULAN__ANNOTATIONS=FOLDER"
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
    yield Requirement("mulan.annotations", there, config.annotations, _EXTRACT, () if there else _archive(config))
    if config.coco.download:
        space = () if there else (Space("COCO's photographs", config.images, _NUM_COCO * _PHOTOGRAPH_MB["coco"] / 1e3),)
        yield Requirement("mulan.images", True, f"{config.images}, pictures are fetched into it", "", space)
    else:
        there = Path(config.images).is_dir()
        space = () if there else (Space("COCO, as archives and unpacked", config.images, 2 * _COCO_GB),)
        yield Requirement("mulan.images", there, config.images, _PLACE + _FETCH, space)


def _archive(config: MulanConfig) -> tuple[Space, ...]:
    """Room for the archive, whose parts may be there already beside the folder, and for what is taken of it."""
    folder = Path(config.annotations)
    there_gb = sum(part.stat().st_size for part in folder.parent.glob("mulan.part*.rar")) / 1e9
    return (
        Space("MULAN's archive", str(folder.parent), max(0.0, _ARCHIVE_GB - there_gb)),
        Space("COCO's part of it, unpacked, by estimate", str(folder), _UNPACKED_GB),
    )


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
    """COCO's files on licences; for a profile that names none, what happens without them."""
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
    gb = sum(_PHOTOGRAPH_MB[part] for part in fetched) / 1e3
    space = (Space("MULAN's photographs", config.images, gb),)
    yield Requirement("mulan.photographs", present, found if num_used else "no annotations", fix, space)


def _is_fetched(part: str, config: MulanConfig) -> bool:
    return (part == "coco" and config.coco.download) or (part == "laion" and bool(config.laion.links))
