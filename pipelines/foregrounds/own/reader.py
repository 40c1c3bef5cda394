"""Reads one cutout of a user's folder and makes its foreground; the alpha may lie in a file of its own."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadItem
from decoupage.images.alpha import resize_rgba
from decoupage.images.masks import soft_mask_of
from decoupage.images.reading import Picture, open_image, read_picture, turned_upright
from decoupage.images.types import Gray, Rgb, Rgba
from pipelines.backgrounds.attribution import Attribution
from pipelines.config import CutoutsConfig, GateConfig
from pipelines.foregrounds.cutout import make_cutout
from pipelines.foregrounds.own.files import CutoutFile
from pipelines.library.foreign_files import read_foreign
from pipelines.library.names import asset_id, origin_of
from pipelines.library.records import ForegroundRecord
from pipelines.stages.run import Outcome
from pipelines.stages.store import Store

SOURCE = "cutouts"
MAX_SIDE_PX = 2048
"""Larger cutouts are reduced to this longer side: no scene is larger, and each use would decode all of it."""
_RADII_PX = (45, 3)
"""Of the two passes of blur fusion, as its authors chose them."""
Item = tuple[CutoutFile, Attribution | None]
T = TypeVar("T")


@dataclass(frozen=True)
class CutoutReader:
    """The task: one cutout -> its foreground, or a reason against it. Picklable."""

    folder: Store
    config: CutoutsConfig
    gates: GateConfig

    def __call__(self, item: Item) -> Outcome:
        """One member and its row. Raises as `read`."""
        data, record = self.read(item)
        return Outcome({record.member: data}, [asdict(record)])

    def read(self, item: Item) -> tuple[bytes, ForegroundRecord]:
        """The foreground as `make_cutout` gives it.

        Raises:
            BadItem: as `read_foreign`, `read_picture` and `apply_gates`; `no_alpha` (nor is there a file for it),
                `ambiguous` (more than one alpha), `shape_mismatch`, `bad_alpha`.
        """
        file, given = item
        return make_cutout(
            _reduced(self._rgba(file)),
            self.gates,
            kind="real",
            id=asset_id(SOURCE, file.path),
            source=SOURCE,
            origin=(given.origin if given else "") or origin_of(file.path),
            category=file.category,
            caption=given.caption if given else "",
            licence=(given.licence if given else "") or self.config.licence,
            attribution=given.attribution if given else "",
            whole=self.config.completeness == "complete",
        )

    def _rgba(self, file: CutoutFile) -> Rgba:
        picture = self._read(file.path, read_picture)
        places = [*([f"{file.path} itself"] if not picture.is_opaque else []), *file.alphas]
        if not places:
            detail = f"{file.path} has no transparent pixel, and no file beside it is its alpha (cutouts.alphas)"
            raise BadItem("no_alpha", detail)
        if len(places) > 1:
            raise BadItem("ambiguous", f"the alpha of {file.path} is in {' and '.join(places)}; keep one of them")
        if not file.alphas:
            return picture.rgba
        alpha = self._read(file.alphas[0], lambda data: _alpha(data, picture))
        return np.dstack([unmixed(picture.rgb, alpha), alpha])

    def _read(self, file: str, read: Callable[[bytes], T]) -> T:
        """What a reader makes of a file; its faults name the file."""
        data = read_foreign(self.folder, file)
        try:
            return read(data)
        except BadItem as fault:
            raise BadItem(fault.reason, f"{file}: {fault.detail}") from fault


def unmixed(rgb_HWC: Rgb, alpha_HW: Gray) -> Rgb:
    """The colours of an object without those that lay behind it, which its soft outline let through.

    Blur fusion (Forte, Approximate Fast Foreground Colour Estimation, ICIP 2021, algorithm 2): colours of object and
    background nearby, then the correction with which they mix to the picture. Opaque pixels keep their colour.
    """
    picture, alpha = rgb_HWC.astype(np.float32), alpha_HW[..., None].astype(np.float32) / np.float32(255)
    front = back = picture
    for radius_px in _RADII_PX:
        front, back = _fused(picture, alpha, front, back, radius_px)
    solid = alpha_HW[..., None] == 255
    return np.where(solid, rgb_HWC, np.rint(front.clip(0, 255)).astype(np.uint8))


def _fused(
    picture: NDArray[np.float32],
    alpha: NDArray[np.float32],
    front: NDArray[np.float32],
    back: NDArray[np.float32],
    radius_px: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    window, least = (2 * radius_px + 1, 2 * radius_px + 1), np.float32(1e-5)
    share = cv2.blur(alpha, window)[..., None]
    near = cv2.blur(front * alpha, window) / (share + least)
    behind = cv2.blur(back * (1 - alpha), window) / (1 - share + least)
    fused = near + alpha * (picture - alpha * near - (1 - alpha) * behind)
    return fused.clip(0, 255), behind


def _alpha(data: bytes, picture: Picture) -> Gray:
    """An alpha of the picture's size, both upright. Raises BadItem: as `open_image`, `shape_mismatch`, `bad_alpha`."""
    image = turned_upright(open_image(data))
    if (image.height, image.width) != picture.size:
        height, width = picture.size
        raise BadItem("shape_mismatch", f"is {image.width}x{image.height} px, its picture {width}x{height} px, upright")
    try:
        return np.rint(soft_mask_of(image) * 255).astype(np.uint8)
    except ValueError as error:
        raise BadItem("bad_alpha", str(error)) from error


def _reduced(rgba: Rgba) -> Rgba:
    height, width = rgba.shape[:2]
    scale = MAX_SIDE_PX / max(height, width)
    return rgba if scale >= 1 else resize_rgba(rgba, max(1, round(width * scale)), max(1, round(height * scale)))
