"""Checks one photograph and makes its record. `things.py` checks what a network sees in it."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

import cv2
import imagehash
import numpy as np
from PIL import Image

from decoupage.faults import BadItem
from decoupage.images.reading import open_image
from decoupage.images.types import Rgb
from pipelines.backgrounds.attribution import Attribution
from pipelines.config import BackgroundConfig
from pipelines.library.records import BackgroundRecord
from pipelines.stages.run import Outcome
from pipelines.stages.store import Store

Item = tuple[str, Attribution | None]
"""Path of a photograph in its folder, and its attribution where there is one."""
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNS_CCW = {1: 0, 3: 180, 6: 270, 8: 90}
"""Orientation tag -> counter-clockwise rotation that makes the picture upright; photographs have no mirrored tags."""


@dataclass(frozen=True)
class PhotographReader:
    """The task: one photograph -> its record, or a reason against it. Picklable."""

    folder: Store
    config: BackgroundConfig
    source: str

    def __call__(self, item: Item) -> Outcome:
        """One row and no members, because scenes read the file itself. Raises as `read`."""
        return Outcome(rows=[asdict(self.read(item)[0])])

    def read(self, item: Item) -> tuple[BackgroundRecord, Rgb]:
        """The record and the pixels as they are stored, not yet rotated.

        Raises:
            BadItem: `missing_image`, `bad_image`, `truncated`, `too_large`, `too_small`, `blurred`,
                `unknown_rotation`.
        """
        file, given = item
        try:
            data = self.folder.read(file)
        except FileNotFoundError as error:
            raise BadItem("missing_image", f"{file} is not in {self.folder.root}") from error
        image = open_image(data)
        turn = given.rotation_deg_ccw if given else self._exif_turn(image)
        if turn < 0:
            raise BadItem("unknown_rotation", f"{file}: its rotation is not known")
        if min(image.size) < self.config.min_side_px:
            raise BadItem("too_small", f"{file}: {image.width}x{image.height} px, needs {self.config.min_side_px}")
        rgb = np.asarray(image.convert("RGB"))
        sharpness = _sharpness(rgb)
        if sharpness < self.config.min_sharpness:
            raise BadItem("blurred", f"{file}: sharpness {sharpness:.1f} is below {self.config.min_sharpness}")
        # Folders are part of the name, because two of them may hold files of the same name.
        name = "-".join(PurePosixPath(file).with_suffix("").parts)
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
        return record, rgb

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
