"""A held-out case as a group: the methods' inputs, the truth, and each method's output."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decoupage.fingerprint import canonical_json
from decoupage.images.alpha import alpha_box
from decoupage.images.codecs import decode_rgb, decode_rgba, encode_gray, encode_jpeg, encode_png
from decoupage.images.contact_sheet import over_checkerboard
from decoupage.images.sizes import resize_labels, resize_values
from decoupage.maps.table import inverse_depth
from evaluation.cases import Case
from evaluation.fiftyone.group import (
    BACKGROUND,
    COMPOSITE,
    HELD_OUT,
    JPEG_QUALITY,
    Box,
    Group,
    Picture,
    depth_png,
    small_copy,
    version_of,
    write_once,
)
from evaluation.method import FOREGROUND
from evaluation.records.method import MethodRecord

Scores = Mapping[str, Mapping[str, float | bool | None]]
"""Values of one case by method and metric; None = not measured."""

_NO_WORD = re.compile(r"\W")
"""Characters that names of a dataset's fields cannot have."""


@dataclass(frozen=True)
class CaseReader:
    """Makes the groups of cases: writes their pictures once, and collects their fields.

    Attributes:
        media: folder of all groups' files.
        records: of the methods that are shown.
        scores: by case.
        facts: by case: fields of the shards' index, e.g. the target's id and licence.
    """

    media: Path
    records: Sequence[MethodRecord]
    scores: Mapping[str, Scores]
    facts: Mapping[str, Mapping[str, Any]]

    def __call__(self, case: Case) -> Group:
        """The group of a case. Raises BadItem: a picture is damaged."""
        made = self._predictions(case)
        scores = self.scores.get(case.name, {})
        fields_json = canonical_json({"scores": scores, "facts": self.facts.get(case.name, {})})
        hashes = [f"{name}={hashlib.sha256(data).hexdigest()}" for name, data in made.items()]
        version = version_of([case.sha256, hashlib.sha256(fields_json).hexdigest(), *hashes])
        files = _truth(case) | {_file(*made_by): _shown(made_by[1], data) for made_by, data in made.items()}
        # The stratum `source` is real or generated, which is called kind everywhere else.
        strata = {"kind" if name == "source" else name: stratum for name, stratum in case.strata.items()}
        shared = {"split": HELD_OUT, "key": case.key, "case": case.name, **strata}
        # The truth first: an open group shows its slices in this order.
        pictures = []
        facts = dict(self.facts.get(case.name, {}))
        if case.background is not None:
            pictures.append(Picture(BACKGROUND, "background.jpg", {**shared, "asset": facts.get("background_asset")}))
        fields = {**shared, "occluded_fraction": case.occluded_fraction, **facts}
        if case.foreground is not None:
            pictures.append(Picture(FOREGROUND, "foreground.jpg", fields, {"visible": "visible.png"}))
        for method, part in made:
            of_method = {**shared, "method": method, **_flat(scores.get(method, {}))}
            pictures.append(Picture(f"{method} {part}", _file(method, part), of_method))
        pictures.append(_composite(case, fields, scores))
        group = Group(f"{HELD_OUT}/{case.name}", version, tuple(pictures), small_copy(case.composite))
        write_once(self.media / group.folder, files)
        return group

    def _predictions(self, case: Case) -> dict[tuple[str, str], bytes]:
        """(method, part) -> file of every answer to this very image."""
        answered = [record for record in self.records if record.answers(case)]
        promised = [(record, part) for record in answered for part in sorted(record.gives)]
        return {(record.name, part): record.png(case.name, part) for record, part in promised}


def _composite(case: Case, fields: Mapping[str, Any], scores: Scores) -> Picture:
    failed = [method for method, found in scores.items() if found["failed"]]
    flat = {method: _flat(found) for method, found in scores.items()}
    figures = {_NO_WORD.sub("_", f"{method}_{name}"): v for method, found in flat.items() for name, v in found.items()}
    shown = {**fields, **figures, "failed_methods": failed, "num_failures": len(failed)}
    shown["assets"] = [fields["asset"]] if fields.get("asset") else []
    masks = {"visible": "visible.png", "imperfect": "imperfect.png"}
    heatmaps = {}
    if case.maps is not None:
        masks |= {"edges": "edges.png", "regions": "regions.png"}
        heatmaps["depth"] = "depth.png"
    boxes = {} if case.alpha is None or not case.alpha.any() else {"layers": _box(case, fields)}
    return Picture(COMPOSITE, "composite.png", shown, masks, heatmaps, boxes)


def _box(case: Case, fields: Mapping[str, Any]) -> tuple[Box, ...]:
    assert case.foreground is not None
    (left, top, right, bottom), (height, width) = alpha_box(case.foreground[..., 3]), case.size
    share = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    names = ("asset", "occluded_fraction", "source", "licence", "prompt", "occlusion", "mask_error")
    return (Box(str(fields.get("category") or "target"), share, {name: fields.get(name) for name in names}),)


def _truth(case: Case) -> dict[str, bytes]:
    # As PNG, because evaluation is about small differences.
    files = {"composite.png": encode_png(case.composite)}
    for name, mask in (("visible", case.visible), ("imperfect", case.mask)):
        files[f"{name}.png"] = encode_gray(mask.astype(np.uint8))
    if case.background is not None:
        files["background.jpg"] = encode_jpeg(case.background, JPEG_QUALITY)
    if case.foreground is not None:
        files["foreground.jpg"] = encode_jpeg(over_checkerboard(case.foreground), JPEG_QUALITY)
    if case.maps is not None:
        files["edges.png"] = encode_gray(case.maps["edges"].astype(np.uint8))
        files["regions.png"] = encode_gray(resize_labels(case.maps["segmentation"], case.size))
        files["depth.png"] = depth_png(resize_values(inverse_depth(case.maps["depth"]), case.size))
    return files


def _shown(part: str, png: bytes) -> bytes:
    picture = over_checkerboard(decode_rgba(png)) if part == FOREGROUND else decode_rgb(png)
    return encode_jpeg(picture, JPEG_QUALITY)


def _file(method: str, part: str) -> str:
    return f"made-{method}-{part}.jpg"


def _flat(scores: Mapping[str, float | bool | None]) -> dict[str, float]:
    """The scores that were measured, by name."""
    return {name: value for name, value in scores.items() if name != "failed" and value is not None}
