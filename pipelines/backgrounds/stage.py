"""Indexes a folder of photographs: each is opened once, judged, and becomes a record. Files stay where they are."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import PurePosixPath

import cv2
import imagehash
import numpy as np
from PIL import Image

from pipelines.backgrounds.attribution import Attribution, read_attributions
from pipelines.config import BackgroundConfig
from pipelines.faults import BadItem, BadSetup
from pipelines.fingerprint import Recipe
from pipelines.images.codecs import open_image
from pipelines.images.types import Rgb
from pipelines.library.records import BackgroundRecord, schema_of
from pipelines.manifest import Manifest
from pipelines.randomness import digest, hash64
from pipelines.stage import Outcome
from pipelines.store import Store

VERSION = 1
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNS_CCW = {1: 0, 3: 180, 6: 270, 8: 90}
"""Orientation tag -> counter-clockwise turn that puts the picture upright; mirrored tags are not photographs."""


@dataclass(frozen=True)
class PhotographReader:
    """Judges one photograph. Picklable."""

    folder: Store
    config: BackgroundConfig
    source: str

    def __call__(self, item: tuple[str, Attribution | None]) -> Outcome:
        """One row, no members: the file itself is what scenes read.

        Raises:
            BadItem: `bad_image`, `truncated`, `too_large`, `too_small`, `blurred`, `unknown_rotation`.
        """
        file, given = item
        data = self.folder.read(file)
        image = open_image(data)
        turn = given.rotation_deg_ccw if given else self._exif_turn(image)
        if turn < 0:
            raise BadItem("unknown_rotation", f"{file}: nobody knows which way is up")
        if min(image.size) < self.config.min_side_px:
            raise BadItem("too_small", f"{file}: {image.width}x{image.height} px, needs {self.config.min_side_px}")
        rgb = np.asarray(image.convert("RGB"))
        sharpness = _sharpness(rgb)
        if sharpness < self.config.min_sharpness:
            raise BadItem("blurred", f"{file}: sharpness {sharpness:.1f} is below {self.config.min_sharpness}")
        name = PurePosixPath(file).stem
        record = BackgroundRecord(
            id=f"{self.source}-{name}",
            source=self.source,
            origin=given.origin if given else name,
            path=file,
            sha256=hashlib.sha256(data).hexdigest(),
            width_px=image.width,
            height_px=image.height,
            rotation_deg_ccw=turn,
            sharpness=round(sharpness, 3),
            caption=given.caption if given else "",
            licence=given.licence if given else self.config.licence,
            attribution=given.attribution if given else "",
            perceptual_hash=str(imagehash.phash(Image.fromarray(rgb))),
            split="train",
        )
        return Outcome(rows=[asdict(record)])

    @staticmethod
    def _exif_turn(image: Image.Image) -> int:
        return _EXIF_TURNS_CCW.get(image.getexif().get(_EXIF_ORIENTATION, 1), -1)


def _sharpness(rgb: Rgb) -> float:
    """Variance of the Laplacian of the gray picture, shorter side scaled to 512 px so that sizes compare."""
    gray = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    factor = 512 / min(gray.shape)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=method)
    return float(cv2.Laplacian(scaled, cv2.CV_64F).var())


@dataclass
class BackgroundsStage:
    """The index over one folder of photographs (not searched recursively)."""

    folder: Store
    config: BackgroundConfig
    source: str
    num_shards: int = 1
    name: str = "backgrounds"
    schema = schema_of(BackgroundRecord)

    @property
    def recipe(self) -> Recipe:
        """What decides a record."""
        rules = self.config.model_dump(mode="json", exclude={"folder"})
        return {"version": VERSION, "source": self.source, "backgrounds": rules}

    @property
    def layout(self) -> Recipe:
        """Files are spread over shards by the hash of their names."""
        return {"num_shards": self.num_shards}

    @cached_property
    def task(self) -> PhotographReader:
        """See PhotographReader."""
        return PhotographReader(self.folder, self.config, self.source)

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        files: dict[str, list[str]] = {shard: [] for shard in self.shards()}
        for name in self.folder.names(""):
            if name.lower().endswith(SUFFIXES):
                files[f"{hash64('background', name) % self.num_shards:05d}"].append(name)
        if not any(files.values()):
            raise BadSetup(f"{self.folder.root} holds no pictures ({', '.join(SUFFIXES)}); set backgrounds.folder")
        return files

    @cached_property
    def _attributions(self) -> dict[str, Attribution]:
        return read_attributions(self.folder)

    def shards(self) -> list[str]:
        """`00000`, ..."""
        return [f"{i:05d}" for i in range(self.num_shards)]

    def items(self, shard: str) -> Sequence[tuple[str, tuple[str, Attribution | None]]]:
        """File names with what is known of them."""
        return [(file, (file, self._attributions.get(file))) for file in self._files[shard]]

    def inputs(self, shard: str) -> dict[str, str]:
        """Names, sizes and attributions of the shard's files: a photograph is not opened to see whether it changed."""
        lines = [(file, self.folder.size(file), self._attributions.get(file)) for file in self._files[shard]]
        return {"files": digest(*lines).hex()}

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        """True when no file was added, removed, resized or attributed anew."""
        return manifest.inputs == inputs
