"""Checks one photograph and makes its record. `things.py` checks what a network sees in it."""

import hashlib
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from decoupage.faults import BadItem
from decoupage.images.reading import read_picture
from decoupage.images.types import Rgb
from pipelines.backgrounds.attribution import Attribution
from pipelines.config import BackgroundConfig
from pipelines.library.foreign_files import read_foreign
from pipelines.library.names import asset_id, origin_of
from pipelines.library.picture_hashes import photograph_hash
from pipelines.library.records import BackgroundRecord
from pipelines.stages.run import Outcome
from pipelines.stages.store import Store

Item = tuple[str, Attribution | None]
"""Path of a photograph in its folder, and its attribution where there is one."""
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
            BadItem: as `read_foreign` and `read_picture`, `too_small`, `transparent`, `blurred`, `unknown_rotation`.
        """
        file, given = item
        data = read_foreign(self.folder, file)
        picture = read_picture(data, upright=False)
        height, width = picture.stored_size
        turn = given.rotation_deg_ccw if given else _EXIF_TURNS_CCW.get(picture.orientation, -1)
        if turn < 0:
            raise BadItem("unknown_rotation", f"{file}: its rotation is not known")
        if min(height, width) < self.config.min_side_px:
            raise BadItem("too_small", f"{file}: {width}x{height} px, needs {self.config.min_side_px}")
        if not picture.is_opaque:
            raise BadItem("transparent", f"{file}: it has transparent pixels, a photograph has none")
        rgb = picture.rgb
        sharpness = _sharpness(rgb)
        if sharpness < self.config.min_sharpness:
            raise BadItem("blurred", f"{file}: sharpness {sharpness:.1f} is below {self.config.min_sharpness}")
        record = BackgroundRecord(
            id=asset_id(self.source, file),
            source=self.source,
            origin=(given.origin if given else "") or origin_of(file),
            path=file,
            sha256=hashlib.sha256(data).hexdigest(),
            width_px=width,
            height_px=height,
            rotation_deg_ccw=turn,
            sharpness=round(sharpness, 3),
            caption=given.caption if given else "",
            licence=(given.licence if given else "") or self.config.licence,
            attribution=given.attribution if given else "",
            perceptual_hash=photograph_hash(rgb),
            split="train",
        )
        return record, rgb


def _sharpness(rgb: Rgb) -> float:
    """Variance of the Laplacian of the gray picture, shorter side scaled to 512 px so that sizes compare."""
    gray = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    factor = 512 / min(gray.shape)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=method)
    return float(cv2.Laplacian(scaled, cv2.CV_64F).var())
