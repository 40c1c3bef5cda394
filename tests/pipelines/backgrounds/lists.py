"""Lists of OpenImages in their published columns and folders, small enough for tests."""

import csv
import gzip
import io
from pathlib import Path

from pipelines.backgrounds.openimages.lists import CLASSES, published_path

IMAGE_COLUMNS = (
    *("ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL", "Author", "Title"),
    *("OriginalSize", "OriginalMD5", "Thumbnail300KURL", "Rotation"),
)
BOX_COLUMNS = (
    *("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", "IsOccluded", "IsTruncated"),
    *("IsGroupOf", "IsDepiction", "IsInside", "XClick1X", "XClick2X"),
)
CLASS_LABELS = {"Sky": "/m/01bqvp", "Beach": "/m/0b3yr", "Person": "/m/01g317", "Dog": "/m/0bt9lr", "Tree": "/m/07j7r"}
CC_BY = "https://creativecommons.org/licenses/by/2.0/"


def id_of(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def image(id: str, subset: str = "train", **changes: str) -> dict[str, str]:
    row = dict.fromkeys(IMAGE_COLUMNS, "") | {
        "ImageID": id,
        "Subset": subset,
        "OriginalLandingURL": f"https://photographs.example/{id}",
        "License": CC_BY,
        "AuthorProfileURL": "https://photographs.example/people/ann",
        "Author": "Ann, of course",
        "Title": 'The "sea"',
        "OriginalSize": "900000",
        "Rotation": "0.0",
    }
    return row | changes


def label(id: str, name: str, confidence: str = "1") -> dict[str, str]:
    return {"ImageID": id, "Source": "verification", "LabelName": CLASS_LABELS[name], "Confidence": confidence}


def box(id: str, left: float, right: float, top: float, bottom: float, **changes: str) -> dict[str, str]:
    edges = {"XMin": str(left), "XMax": str(right), "YMin": str(top), "YMax": str(bottom)}
    row = {"ImageID": id, "Source": "xclick", "LabelName": CLASS_LABELS["Tree"], "Confidence": "1"} | edges
    flags = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
    return row | dict.fromkeys(flags, "0") | {"XClick1X": "0.5", "XClick2X": "0.5"} | changes


def table(columns: tuple[str, ...], rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def lists(images, labels, boxes, subset: str = "train", heading: bool = False) -> dict[str, bytes]:
    """Published path -> bytes of the four lists of one subset."""
    classes = "".join(f"{label},{name}\n" for name, label in CLASS_LABELS.items())
    return {
        CLASSES: (("LabelName,DisplayName\n" if heading else "") + classes).encode(),
        published_path(subset, "images"): table(IMAGE_COLUMNS, images),
        published_path(subset, "labels"): table(("ImageID", "Source", "LabelName", "Confidence"), labels),
        published_path(subset, "boxes"): table(BOX_COLUMNS, boxes),
    }


def write(folder: Path, files: dict[str, bytes], flat: bool = False, gz: bool = False) -> None:
    for path, data in files.items():
        place = folder / (Path(path).name if flat else path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if gz:
            place.with_name(f"{place.name}.gz").write_bytes(gzip.compress(data))
        else:
            place.write_bytes(data)
