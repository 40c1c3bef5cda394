"""From a picture, its mask and its maps, each at its own size, to the tensors that a model takes: one way for all.

Training makes its samples here, and the pipeline its input, and so evaluation and every command: what is trained is
what is judged, and what is judged is what a user gets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decoupage.images.forms import to_uint8
from decoupage.images.sizes import Geometry, MaskRule
from decoupage.images.types import Array, Mask, Rgb, Rgba
from decoupage.maps.choose import AutoMaps
from decoupage.maps.table import MAPS, StoredMaps
from decoupage.rgba_values import gray_where_invisible

HOLE_RULE: MaskRule = "touched"
"""For the mask under which the background half generates: nothing of the object is kept, which `half` leaves at its rim
(0.5 dB inside the mask on the demo's held-out list, benchmarks/RESULTS.md)."""
KEPT_RULE: MaskRule = "half"
"""For the mask inside which the foreground half keeps the picture: what is only touched is mostly not the object."""


@dataclass(frozen=True)
class Prepared:
    """Pictures of one size, side by side, as a model takes them; float32 tensors on the CPU.

    Attributes:
        geometry: how they came to their size, and the way back.
        picture_B3HW: in [-1, 1].
        hole_B1HW: 0 or 1; 1 = the background half generates here.
        kept_B1HW: 0 or 1; 1 = the foreground half keeps the picture here, and generates elsewhere.
        maps: pictures of maps [B, 3, H, W] in [-1, 1] by name, in the table's order.
    """

    geometry: Geometry
    picture_B3HW: Tensor
    hole_B1HW: Tensor
    kept_B1HW: Tensor
    maps: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.picture_B3HW)


def prepare(picture_HW3: NDArray[np.float32], mask_HW: Mask, maps: StoredMaps, geometry: Geometry) -> Prepared:
    """Bring one picture with its mask and any subset of its maps to a model's size: a batch of one.

    Args:
        picture_HW3: in [0, 1], at the size that the geometry was planned for.
        mask_HW: where the object shows, at the same size.
        maps: stored maps by name (see `decoupage.maps.table`), each at its own resolution.

    Raises:
        ValueError: picture or mask has another size, or a map is unknown or no such map.
    """
    for what, array in (("picture", picture_HW3), ("mask", mask_HW)):
        if array.shape[:2] != geometry.input_px:
            found, planned = (f"{width}x{height} px" for height, width in (array.shape[:2], geometry.input_px))
            raise ValueError(f"the {what} is {found}, the geometry is planned for {planned}")
    unknown = sorted(set(maps) - set(MAPS))
    if unknown:
        raise ValueError(f"maps must be among {', '.join(MAPS)}, got {', '.join(unknown)}")
    pictures = {name: row.picture(maps[name], geometry.content_px) for name, row in MAPS.items() if name in maps}
    hole, kept = (_tensor(geometry.mask(mask_HW, rule)[..., None])[None] for rule in (HOLE_RULE, KEPT_RULE))
    on_canvas = {name: _tensor(geometry.on_canvas(picture))[None] for name, picture in pictures.items()}
    return Prepared(geometry, prepare_rgb(picture_HW3, geometry)[None], hole, kept, on_canvas)


def prepare_rgb(picture_HW3: NDArray[np.float32], geometry: Geometry) -> Tensor:
    """[3, H, W] in [-1, 1] of a picture in [0, 1]."""
    return _tensor(geometry.picture(picture_HW3)) * 2 - 1


def prepare_rgba(rgba_HW4: NDArray[np.float32], geometry: Geometry) -> Tensor:
    """[4, H, W] in [-1, 1], mid-gray where invisible, of a cutout in [0, 1] with straight alpha: a training target."""
    return gray_where_invisible(_tensor(geometry.rgba(rgba_HW4))[None] * 2 - 1)[0]


def unit_rgb(picture_HWC: Rgb | Rgba) -> NDArray[np.float32]:
    """uint8 as float32 in [0, 1], as `decoupage.images.forms.as_picture` gives it."""
    return picture_HWC.astype(np.float32) / np.float32(255)


def side_by_side(prepared: Sequence[Prepared]) -> Prepared:
    """Pictures of one geometry with the same maps as one batch."""
    names = ("picture_B3HW", "hole_B1HW", "kept_B1HW")
    picture, hole, kept = (torch.cat([getattr(one, name) for one in prepared]) for name in names)
    maps = {name: torch.cat([one.maps[name] for one in prepared]) for name in prepared[0].maps}
    return Prepared(prepared[0].geometry, picture, hole, kept, maps)


def undo(result_BCHW: Tensor, geometry: Geometry) -> Tensor:
    """Bring results [B, 1, 3 or 4 channels, canvas] in [0, 1] back to the input's size."""
    results = [geometry.undo(one.permute(1, 2, 0).float().numpy()) for one in result_BCHW.cpu()]
    return torch.stack([_tensor(one) for one in results])


def stored_maps(
    picture_BCHW: Tensor, given: Mapping[str, Any] | None, names: Sequence[str], make: AutoMaps | None
) -> list[dict[str, Array]]:
    """The maps of each picture: those given, and of the others those that can be made.

    Args:
        picture_BCHW: in [0, 1].
        given: by name, [h, w] or [B, h, w], arrays or tensors; values as `decoupage.maps.table` says.
        names: of the maps that the adapter takes.
        make: None = nothing is made.

    Raises:
        ValueError: a map that the adapter does not take, or of another form, or for another number of pictures.
    """
    if unknown := set(given or {}) - set(names):
        raise ValueError(f"this adapter takes the maps {', '.join(names) or 'none'}, got {', '.join(sorted(unknown))}")
    number = len(picture_BCHW)
    by_name = {name: as_stored(name, stored, number) for name, stored in (given or {}).items()}
    wanted = [name for name in names if name not in by_name]
    made: list[dict[str, Array]] = [{}] * number
    if make is not None and wanted:
        made = [make(rgb_HWC, wanted) for rgb_HWC in to_uint8(picture_BCHW)]
    return [{name: stored[i] for name, stored in by_name.items()} | made[i] for i in range(number)]


def as_stored(name: str, given: Any, number: int) -> list[Array]:
    """A map of one picture or of each of a batch, [h, w] or [B, h, w], array or tensor, as one array a picture.

    Raises:
        ValueError: another form, or another number of pictures.
    """
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = given.float().numpy() if given.dtype in (torch.bfloat16, torch.float16) else given.numpy()
    if not isinstance(given, np.ndarray) or given.ndim not in (2, 3):
        form = list(given.shape) if isinstance(given, np.ndarray) else type(given).__name__
        raise ValueError(f"{name} must be an array or tensor [H, W] or [B, H, W], got {form}")
    maps = [given] * number if given.ndim == 2 else list(given)
    if len(maps) not in (1, number):
        raise ValueError(f"there are {len(maps)} maps of {name} for {number} pictures")
    return maps * number if len(maps) == 1 else maps


def _tensor(array_HWC: NDArray[np.float32] | Mask) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array_HWC.transpose(2, 0, 1), np.float32))
