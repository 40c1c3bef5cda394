"""`gallery.json`: the pictures that a page shows, small and encoded, so that pages are made without any method.

Everything that is shown of a case is in it: bytes as data URIs, the given mask as a path, and what is known in words;
and the answer's pictures (`evaluation.answer_grid`).
"""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from decoupage.faults import BadSetup
from decoupage.images.sizes import resize_mask, resize_picture, resize_rgba
from decoupage.images.types import Array, Mask
from evaluation.answer_grid import Grid
from evaluation.difficulty import difficulty
from evaluation.gallery import Example
from evaluation.method import BACKGROUND, FOREGROUND, Failure
from evaluation.results import read_result
from pipelines.stages.store import Store

GALLERY = "gallery.json"
SHOWN_PX = 320
"""Longer side of a shown picture at most; smaller ones keep their size."""
QUALITY = 85
GIVEN, TRUTH = "given", "truth"
"""Source of a picture that no method made."""


def gallery_file(list_sha256: str, ranked_by: str, examples: Sequence[Example], grid: Grid | None = None) -> bytes:
    """Content of `gallery.json`.

    Args:
        list_sha256: of the list that the examples are from.
        ranked_by: method whose scores say what is best and worst.
        grid: the answer's pictures.
    """
    entries = [_entry(found) for found in examples]
    content: dict[str, Any] = {"list_sha256": list_sha256, "ranked_by": ranked_by, "examples": entries}
    if grid is not None:
        height, width = grid.pixels.shape[:2]
        content["answer"] = {"uri": _uri("png", grid.png), "words": grid.words, "width_px": width, "height_px": height}
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def read_gallery(store: Store, list_sha256: str) -> dict[str, Any]:
    """The content of `gallery.json`.

    Raises:
        BadSetup: it is not there, damaged, or of another list.
    """
    content = read_result(store, GALLERY, "list_sha256")
    found = content["list_sha256"]
    if found != list_sha256:
        raise BadSetup(
            f"{store.url(GALLERY)} shows the list {found}, but the report is of {list_sha256}; evaluate again"
        )
    return content


def outline_path(mask: Mask) -> str:
    """The borders of a mask as an SVG path in its pixels; empty where the mask is."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    # Contours run through the middles of border pixels.
    return "".join(
        "M" + "L".join(f"{x + 0.5:g} {y + 0.5:g}" for x, y in contour[:, 0]) + "Z"
        for contour in sorted(contours, key=lambda contour: contour.tolist())
    )


def _entry(example: Example) -> dict[str, Any]:
    case = example.case
    scale = _scale(case.composite)
    height, width = _size(case.composite, scale)
    mask = resize_mask(case.mask, (height, width))
    pictures = [_picture(GIVEN, "composite", case.composite)]
    for method, answer in example.answers.items():
        if isinstance(answer, Failure):
            pictures.append({"by": method, "what": "output", "uri": None, "reason": answer.reason})
            continue
        for part, picture in ((BACKGROUND, answer.background), (FOREGROUND, answer.foreground)):
            if picture is not None:
                pictures.append(_picture(method, part, picture))
    for part, truth in ((BACKGROUND, case.background), (FOREGROUND, case.foreground)):
        if truth is not None:
            pictures.append(_picture(TRUTH, part, truth))
    return {
        "name": case.name,
        "groups": sorted(example.groups),
        "psnr_mask_db": example.psnr_mask_db,
        "strata": dict(case.strata),
        "difficulty": difficulty(case),
        "width_px": width,
        "height_px": height,
        "outline": outline_path(mask),
        "pictures": pictures,
    }


def _picture(by: str, what: str, picture: Array) -> dict[str, Any]:
    resize = resize_rgba if picture.shape[2] == 4 else resize_picture
    picture = resize(picture, _size(picture, _scale(picture)))
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=QUALITY, method=4)
    return {"by": by, "what": what, "uri": _uri("webp", buffer.getvalue())}


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _scale(picture: Array) -> float:
    return min(1.0, SHOWN_PX / max(picture.shape[:2]))


def _size(picture: Array, scale: float) -> tuple[int, int]:
    return max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))
