"""Writes MuLAn's layers as PNG files, one per layer, with a catalogue: for people and for other tools.

The pixels are the official ones: not filtered, without bled colour, not resized. `stage` makes foregrounds of them.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.images.codecs import encode_png
from decoupage.images.types import Array
from pipelines.foregrounds.mulan.annotation import NO_CAPTION, Captions
from pipelines.foregrounds.mulan.files import AnnotationFile, check_images, find_annotations
from pipelines.foregrounds.mulan.limited import call_limited
from pipelines.foregrounds.mulan.reader import LICENCE, MAX_FILE_S, Decomposition, read_decomposition
from pipelines.licences.terms import UNKNOWN
from pipelines.stages.engine import Engine, SerialEngine
from pipelines.stages.progress import Progress
from pipelines.stages.run import Outcome
from pipelines.stages.store import Store

SCHEMA = pa.schema(
    [
        ("paths", pa.string()),  # the name of MuLAn's own meta_data.csv; relative to the catalogue
        ("id", pa.string()),
        ("layer", pa.int64()),  # 0 = background
        ("key", pa.string()),  # the instance's key in the annotation
        ("subset", pa.string()),  # train2017 | val2017
        ("blip2", pa.string()),
        ("llava", pa.string()),
        ("width_px", pa.int64()),
        ("height_px", pa.int64()),
        ("area_px", pa.float64()),  # summed alpha / 255
        ("alpha_mean", pa.float64()),  # 0..1, over the whole picture
        ("soft_share", pa.float64()),  # of the visible pixels, with alpha in (0, 255)
        ("consistency_error", pa.float64()),  # of the photograph, 0..255; -1 = none
        ("licence", pa.string()),
    ]
)
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class ExtractSummary:
    """Summary of an extraction: annotation files read, layers written, drops by reason."""

    num_files: int
    num_layers: int
    num_dropped: int
    drops_by_reason: dict[str, int]
    seconds: float


def extract(
    annotations: str | Path,
    images: str | Path,
    out: str | Path,
    limit: int | None = None,
    engine: Engine | None = None,
) -> ExtractSummary:
    """Write every layer as a picture into a folder, with a catalogue; a second run overwrites them.

    Files: `<id>-layer_<k>.png` (0 = background RGB, k = instances in order, RGBA), `catalogue.parquet` (a row a
    layer, columns in `SCHEMA`) and `quarantine.jsonl` (`{"id", "reason", "detail"}` of what was not used). A fault
    anywhere in an annotation drops the whole file; an instance without a visible pixel drops only itself.

    Args:
        annotations: folder with `*.p.zl`, searched recursively.
        images: folder with train2017/ and val2017/.
        limit: at most this many annotation files, in order of folder and name.
        engine: maps the files; None = in this process.

    Raises:
        BadSetup: a folder is missing or holds nothing usable, or the disk is full.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    started = time.monotonic()
    check_images(Path(images))
    store = Store(str(Path(out)))
    store.remove_leftovers("")
    task = _Extraction(str(images), str(out))
    files = islice(find_annotations(Path(annotations)), limit)
    with Progress("mulan extract", "files", limit) as progress:
        results = progress.counting((engine or SerialEngine()).map(task, files))
        num_files, num_layers, reasons = _write_lists(store, results)
    store.remove_leftovers("")  # Of processes that were ended in the middle of a file.
    if not num_files:
        raise BadSetup(f"{annotations} holds no *.p.zl file, nor does any folder below it")
    seconds = round(time.monotonic() - started, 3)
    return ExtractSummary(num_files, num_layers, reasons.total(), dict(reasons.most_common()), seconds)


@dataclass(frozen=True)
class _Extraction:
    """The task: writes one file's layers, returns their rows and what was dropped."""

    images: str
    out: str

    def __call__(self, file: AnnotationFile) -> Outcome:
        try:
            file.check()
        except BadItem as fault:
            return _dropped(file, fault)
        try:
            result = call_limited(self.write_layers, file, MAX_FILE_S)
        except BadItem as fault:
            result = _dropped(file, fault)
        self._remove_stale(file.id, {row["layer"] for row in result.rows})
        return result

    def write_layers(self, file: AnnotationFile) -> Outcome:
        """Write one file's layers; a process of its own does this. Raises BadItem as `read_decomposition`."""
        found = read_decomposition(file, Path(self.images))
        result = Outcome()
        store = Store(self.out)
        for k, key, picture, captions in _layers(found):
            name = f"{file.id}-layer_{k}"
            if k and not picture[..., 3].any():
                detail = f"instance {key[:40]} has no pixel with alpha above 0"
                result.drops.append({"id": name, "reason": "empty_alpha", "detail": detail})
                continue
            store.write(f"{name}.png", encode_png(picture))
            result.rows.append({"paths": f"{name}.png", "id": file.id, "key": key, **_row(found, k, picture, captions)})
        return result

    def _remove_stale(self, id: str, kept: set[int]) -> None:
        """Remove layers that an earlier run wrote and this one did not."""
        for k in count():
            path = Path(self.out, f"{id}-layer_{k}.png")
            if k not in kept and path.is_file():
                path.unlink()
            elif k not in kept and k > max(kept, default=0) + 1:
                return


def _dropped(file: AnnotationFile, fault: BadItem) -> Outcome:
    return Outcome(drops=[{"id": file.id, "reason": fault.reason, "detail": fault.detail}])


def _layers(found: Decomposition) -> Iterator[tuple[int, str, Array, Captions]]:
    """(k, key, picture, captions) of each layer, from the background up."""
    yield 0, "", found.layers.background, found.annotation.background.captions
    pairs = zip(found.annotation.instances, found.layers.instances, strict=True)
    for k, (instance, rgba) in enumerate(pairs, start=1):
        # MuLAn's own list has no llava caption for instances.
        yield k, instance.key, rgba, Captions(instance.layer.captions.blip2, NO_CAPTION)


def _row(found: Decomposition, k: int, picture: Array, captions: Captions) -> dict[str, Any]:
    height, width = picture.shape[:2]
    alpha = picture[..., 3] if k else np.full((height, width), 255, np.uint8)
    visible = alpha[alpha > 0]
    return {
        "layer": k,
        "subset": found.photograph.subset,
        "blip2": captions.blip2,
        "llava": captions.llava,
        "width_px": width,
        "height_px": height,
        "area_px": round(int(alpha.sum(dtype=np.int64)) / 255, 2),
        "alpha_mean": round(float(alpha.mean()) / 255, 4),
        "soft_share": round(float((visible < 255).mean()), 4),
        "consistency_error": found.layers.consistency_error,
        "licence": f"{LICENCE} AND {UNKNOWN}",
    }


def _write_lists(store: Store, results: Iterator[Outcome]) -> tuple[int, int, Counter[str]]:
    """Write the catalogue and the quarantine as results arrive; both files appear only after the last one."""
    num_files = num_layers = 0
    reasons: Counter[str] = Counter()
    waiting: list[dict[str, Any]] = []
    with (
        store.writing("catalogue.parquet") as catalogue,
        store.writing("quarantine.jsonl") as quarantine,
        pq.ParquetWriter(catalogue, SCHEMA, compression="zstd") as writer,
    ):
        for result in results:
            num_files += 1
            num_layers += len(result.rows)
            waiting += result.rows
            if len(waiting) >= _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(waiting, SCHEMA))
                waiting = []
            for drop in result.drops:
                reasons[drop["reason"]] += 1
                quarantine.write(canonical_json(drop) + b"\n")
        if waiting or not num_layers:
            writer.write_table(pa.Table.from_pylist(waiting, SCHEMA))
    return num_files, num_layers, reasons
