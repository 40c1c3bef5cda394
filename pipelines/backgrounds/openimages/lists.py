"""The published lists of OpenImages: their names, addresses and local copies. Other modules read their contents."""

import logging
from pathlib import Path

from decoupage.faults import BadSetup
from pipelines.config.backgrounds import OpenImagesConfig
from pipelines.downloads.item import Download
from pipelines.downloads.run import download_all

log = logging.getLogger(__name__)

KINDS = ("images", "labels", "boxes")
_V7_NAMES = {"train": "train", "validation": "val", "test": "test"}
CLASSES = "v7/oidv7-class-descriptions.csv"
_MAX_LIST_BYTES = 16 << 30


def published_path(subset: str, kind: str) -> str:
    """Path of a list under https://storage.googleapis.com/openimages/.

    `images` of train are those with boxes. `labels` are the human-verified ones of all classes, because the lists of
    boxable classes lack sky and street.
    """
    if kind == "images":
        boxable = "-boxable" if subset == "train" else ""
        return f"2018_04/{subset}/{subset}-images{boxable}-with-rotation.csv"
    if kind == "labels":
        return f"v7/oidv7-{_V7_NAMES[subset]}-annotations-human-imagelabels.csv"
    return "v6/oidv6-train-annotations-bbox.csv" if subset == "train" else f"v5/{subset}-annotations-bbox.csv"


def wanted(config: OpenImagesConfig) -> dict[str, str]:
    """Name (`classes`, `train.images`, ...) -> address or path of every list that the configuration needs."""
    names = {"classes": CLASSES}
    names |= {f"{subset}.{kind}": published_path(subset, kind) for subset in config.subsets for kind in KINDS}
    paths = {name: config.paths.get(name, path) for name, path in names.items()}
    absolute = ("http://", "https://", "/")
    base = config.lists.rstrip("/")
    return {name: path if path.startswith(absolute) else f"{base}/{path}" for name, path in paths.items()}


def named(config: OpenImagesConfig) -> list[str]:
    """The addresses that the profile itself names, which may be in a private network."""
    return [place for place in (*wanted(config).values(), config.images) if is_address(place)]


def is_address(path: str) -> bool:
    """True for an http(s) address, which must be fetched first."""
    return path.startswith(("http://", "https://"))


def find(path: str) -> Path | None:
    """The file of a local list: as named, with `.gz`, or without the folders that it is published in; else None."""
    given = Path(path)
    # In a flat folder of lists, the parent of the published folder holds the file itself.
    flat = [parent / given.name for parent in given.parents[:3]]
    for candidate in (given, *flat):
        for file in (candidate, candidate.with_name(f"{candidate.name}.gz")):
            if file.is_file():
                return file
    return None


def versions(config: OpenImagesConfig) -> dict[str, list[int | str]]:
    """What tells each list from another version of it, by name; nothing is fetched for it.

    Of one at an address it is the address, because it is fetched once; of a file, which is too long to be hashed, it is
    name, size and time.

    Raises:
        BadSetup: a list is absent.
    """
    places = wanted(config)
    return {name: [place] if is_address(place) else _state(_found(place)) for name, place in places.items()}


def _state(path: Path) -> list[int | str]:
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def _found(place: str) -> Path:
    file = find(place)
    if file is None:
        raise BadSetup(f"{place} is missing; fetch it, or name another in backgrounds.openimages.paths")
    return file


def gather(config: OpenImagesConfig, folder: Path) -> dict[str, Path]:
    """All lists as local files, by name; those at addresses are fetched into the folder once.

    Raises:
        BadSetup: a list is absent, or cannot be fetched.
    """
    places = wanted(config)
    downloads = {
        name: Download(address, f"{name}/{Path(address.partition('?')[0]).name}")
        for name, address in places.items()
        if is_address(address)
    }
    if downloads:
        report = download_all(
            list(downloads.values()),
            folder,
            workers=min(config.workers, 4),
            max_file_bytes=_MAX_LIST_BYTES,
            timeout_s=config.timeout_s,
            max_attempts=config.max_attempts,
            trusted=named(config),
            title="lists of OpenImages",
        )
        if report.drops:
            raise BadSetup(
                f"lists of OpenImages cannot be fetched: {'; '.join(drop['detail'] for drop in report.drops)}; "
                "fetch them by hand and name their folder in backgrounds.openimages.lists"
            )
    found = {name: folder / download.path for name, download in downloads.items()}
    return found | {name: _found(place) for name, place in places.items() if name not in found}
