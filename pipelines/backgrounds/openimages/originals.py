"""Fetches the authors' own files of the chosen images, which are larger than the mirror's 1024 px, and reduces them.

A file counts as the original when its MD5 is that of the list and it shows what the mirror's file shows: OpenImages'
Rotation is that of the mirror's pixels, and an original may hold them turned with a tag that says so. So tags are
ignored, and an original is turned by the quarter turns that make it most like the mirror's file. Whatever fails leaves
the mirror's file in its place, with an outcome.
"""

import base64
import binascii
import csv
import hashlib
import io
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_rgb, encode_jpeg
from decoupage.images.sizes import bounded_size
from decoupage.images.types import Rgb
from decoupage.text_files import csv_rows, text_lines
from pipelines.backgrounds.openimages.lists import named
from pipelines.config.backgrounds import OpenImagesConfig
from pipelines.downloads.item import Download
from pipelines.downloads.run import download_all
from pipelines.stages.store import Store

log = logging.getLogger(__name__)
MAX_ORIGINAL_BYTES = 32 << 20
JPEG_QUALITY = 95
BATCH = 200
"""Originals that are on disk whole at a time, before they are reduced: at most 6.7 GB."""
OUTCOMES = "originals.json"
"""Path of an image -> why its original is not used, where a later run would find the same."""
_RAW = "raw"
_TRANSIENT = ("unreachable", "refused", "not_public")
_THUMBNAIL_PX = 64
_ASPECT_TOLERANCE = 0.03
_MIN_CORRELATION = 0.9
_MAX_THREADS = 8
"""Each holds a decoded original, of up to 0.3 GB."""


@dataclass(frozen=True)
class Original:
    """The author's own file of an image: its address, and its MD5 in lower-case hex."""

    url: str
    md5: str


@dataclass
class OriginalsReport:
    """Summary of the originals of the images at hand.

    Attributes:
        paths: path of the mirror's file -> path of the reduced original that takes its place.
        outcomes: `original`, or why the mirror's file is used -> number of images: `not_listed`, `gone`, `changed`
            (another MD5), `other_picture`, `no_larger`, `left_out` by the budget, or a reason of `download_all` or
            `decode_rgb`.
        num_bytes: size of the originals that this run fetched, before they were reduced.
    """

    paths: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    num_bytes: int = 0


class NotUsed(Exception):
    """An original that is not used; its text is the outcome."""


def md5_hex(listed: str) -> str:
    """The list's MD5, which is in Base64, as lower-case hex; empty where it is none."""
    try:
        data = base64.b64decode(listed, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return data.hex() if len(data) == hashlib.md5(usedforsecurity=False).digest_size else ""


def originals_csv(originals: Mapping[str, Original]) -> bytes:
    """The bytes of a table of originals by path."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "url", "md5"))
    writer.writerows((path, original.url, original.md5) for path, original in originals.items())
    return text.getvalue().encode()


def read_originals(store: Store, name: str) -> dict[str, Original]:
    """Read a table that `originals_csv` wrote. Raises BadSetup: it is damaged."""
    rows = csv_rows(text_lines(store.read(name), store.url(name)), store.url(name), ("file", "url", "md5"))
    return {row["file"]: Original(row["url"], row["md5"]) for _, row in rows}


def fetch_originals(
    config: OpenImagesConfig, originals: Mapping[str, Original], mirrored: Sequence[str], folder: Path
) -> OriginalsReport:
    """Fetch what is missing into `originals-<n>mp/<subset>/<id>.jpg`, batch by batch within the budget of bytes.

    Args:
        originals: path of an image -> its original, where the list gives one.
        mirrored: paths of the mirror's files, which are in the folder.

    Raises:
        BadSetup: as `download_all`.
    """
    return _Fetching(config, originals, folder).run(mirrored)


class _Fetching:
    """One run, which keeps the record of outcomes up to date."""

    def __init__(self, config: OpenImagesConfig, originals: Mapping[str, Original], folder: Path) -> None:
        self.config = config
        self.originals = originals
        self.folder = folder
        self.store = Store(str(folder))
        self.known = self._recorded()
        self.this_run: dict[str, str] = {}
        self.num_bytes = 0
        self.is_spent = False

    def _recorded(self) -> dict[str, str]:
        if not self.store.exists(OUTCOMES):
            return {}
        try:
            return {str(path): str(outcome) for path, outcome in self.store.read_json(OUTCOMES).items()}
        except (BadSetup, AttributeError) as error:
            log.warning("%s is started again, and originals are requested again: %s", self.store.url(OUTCOMES), error)
            return {}

    def run(self, mirrored: Sequence[str]) -> OriginalsReport:
        todo = [path for path in mirrored if self._is_missing(path)]
        self._clean(set(todo))
        for start in range(0, len(todo), BATCH):
            self._fetch(todo[start : start + BATCH])
        paths = {path: self._target(path) for path in mirrored if self.store.exists(self._target(path))}
        outcomes = Counter("original" if path in paths else self._outcome(path) for path in mirrored)
        return OriginalsReport(paths, dict(outcomes.most_common()), self.num_bytes)

    def _is_missing(self, path: str) -> bool:
        return path in self.originals and path not in self.known and not self.store.exists(self._target(path))

    def _target(self, path: str) -> str:
        return f"originals-{self.config.originals_mp}mp/{path}"

    def _outcome(self, path: str) -> str:
        if path not in self.originals:
            return "not_listed"
        return self.known.get(path) or self.this_run.get(path, "left_out")

    def _clean(self, wanted: set[str]) -> None:
        """Remove what a killed run left half-written, or had reduced already."""
        for subset in self.config.subsets:
            self.store.remove_leftovers(self._target(subset))
        raw = self.folder / _RAW
        for file in raw.glob("*/*.jpg"):
            if str(file.relative_to(raw)) not in wanted:
                file.unlink()

    def _fetch(self, batch: Sequence[str]) -> None:
        room = int(self.config.originals_max_gb * 1e9) - self.num_bytes
        downloads = [] if self.is_spent or room <= 0 else list(self._downloads(batch))
        if not downloads:
            return
        report = download_all(
            downloads,
            self.folder / _RAW,
            workers=self.config.workers,
            max_bytes=room,
            max_file_bytes=MAX_ORIGINAL_BYTES,
            timeout_s=self.config.timeout_s,
            max_attempts=self.config.max_attempts,
            trusted=named(self.config),
            title="originals of OpenImages",
        )
        self.num_bytes += report.num_bytes
        self.is_spent = report.num_left > 0
        for drop in report.drops:
            self._note(drop["id"], drop["reason"])
        with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1), thread_name_prefix="reduce") as pool:
            for path, outcome in zip(report.paths, pool.map(self._reduce, report.paths), strict=True):
                if outcome:
                    self._note(path, outcome)
                (self.folder / _RAW / path).unlink()
        self.store.write(OUTCOMES, json.dumps(self.known, indent=1, sort_keys=True).encode())

    def _downloads(self, batch: Sequence[str]) -> Iterator[Download]:
        for path in batch:
            try:
                yield Download(self.originals[path].url, path)
            except ValueError:
                self._note(path, "bad_url")

    def _note(self, path: str, outcome: str) -> None:
        (self.this_run if outcome in _TRANSIENT else self.known)[path] = outcome

    def _reduce(self, path: str) -> str:
        """Write the reduced original; returns the outcome where it is not used."""
        data = (self.folder / _RAW / path).read_bytes()
        try:
            if hashlib.md5(data, usedforsecurity=False).hexdigest() != self.originals[path].md5:
                raise NotUsed("changed")
            rgb = reduced(decode_rgb(data), decode_rgb(self.store.read(path)), self.config.originals_mp * 1_000_000)
        except NotUsed as fault:
            return str(fault)
        except BadItem as fault:
            return fault.reason
        self.store.write(self._target(path), encode_jpeg(rgb, JPEG_QUALITY))
        return ""


def reduced(original: Rgb, mirrored: Rgb, max_pixels: int) -> Rgb:
    """The original, averaged down to at most `max_pixels` and turned as the mirror's file is.

    Raises:
        NotUsed: `no_larger` than the mirror's file, or `other_picture`.
    """
    if min(original.shape[:2]) <= min(mirrored.shape[:2]):
        raise NotUsed("no_larger")
    height, width = bounded_size(original.shape[:2], max_pixels)
    smaller = np.asarray(cv2.resize(original, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(np.rot90(smaller, _quarter_turns(smaller, mirrored)))


def _quarter_turns(original: Rgb, mirrored: Rgb) -> int:
    """How many counter-clockwise quarter turns of the original give the picture that the mirror's file shows."""
    aspect = mirrored.shape[1] / mirrored.shape[0]
    wanted = _thumbnail(mirrored)
    likeness: dict[float, int] = {}
    for turns in range(4):
        height, width = original.shape[:2] if turns % 2 == 0 else original.shape[1::-1]
        if abs(width / height / aspect - 1) <= _ASPECT_TOLERANCE:
            turned = np.rot90(_thumbnail(original), turns)
            # A picture of one colour correlates with none.
            with np.errstate(invalid="ignore", divide="ignore"):
                likeness[float(np.nan_to_num(np.corrcoef(turned.ravel(), wanted.ravel())[0, 1]))] = turns
    best = max(likeness, default=0.0)
    if best < _MIN_CORRELATION:
        raise NotUsed("other_picture")
    return likeness[best]


def _thumbnail(rgb: Rgb) -> np.ndarray:
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
