"""One scene as the tensors of one triplet, and triplets as a batch. No file is read here, and no order decided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decoupage.images.types import Mask, Rgba
from decoupage.maps.pictures import map_pictures
from decoupage.randomness import generator
from decoupage.rgba_values import to_vae_range
from pipelines.masks.imperfect import imperfect_mask
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.resize import resize_mask, resized
from pipelines.shards.reader import Maps
from training.data.config import DataLoading
from training.data.order import is_flipped, target_layer
from training.data.recolour import draw_recolouring


@dataclass(frozen=True)
class TripletSample:
    """One triplet; float32, pictures in [-1, 1].

    Attributes:
        key, layer: of the scene, and which of its layers is the target; 0 = lowest.
        epoch, flipped: when it was drawn, and whether it is mirrored.
        composite_3HW: the scene flattened.
        mask_1HW: imperfect mask of the target, 0 or 1.
        foreground_4HW: the target complete on the whole canvas, straight alpha, mid-gray (0) where alpha is -1.
        background_3HW: the scene without the target; the other layers stay.
        maps: the wanted maps of the composite as pictures [3, H, W].
    """

    key: str
    layer: int
    epoch: int
    flipped: bool
    composite_3HW: Tensor
    mask_1HW: Tensor
    foreground_4HW: Tensor
    background_3HW: Tensor
    maps: dict[str, Tensor]


@dataclass(frozen=True)
class TripletBatch:
    """Triplets side by side; values as in `TripletSample`.

    Attributes:
        positions: global position of each sample; one that could not be read has left its place to another scene.
        end: where every process's batch of this step ends. A run that goes on after this batch starts at `end`.
        keys, layers, flipped: of each sample.
    """

    positions: tuple[int, ...]
    end: int
    keys: tuple[str, ...]
    layers: tuple[int, ...]
    flipped: tuple[bool, ...]
    composite_B3HW: Tensor
    mask_B1HW: Tensor
    foreground_B4HW: Tensor
    background_B3HW: Tensor
    maps: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def start(self) -> int:
        """Global position of its first sample."""
        return self.positions[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "TripletBatch":
        """The same batch with its tensors on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "TripletBatch":
        """The same batch in page-locked memory, from which `to` copies to a GPU without waiting."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> "TripletBatch":
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        tensors = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, maps={name: change(picture) for name, picture in self.maps.items()}, **tensors)


def make_sample(parts: SceneParts, maps: Maps | None, epoch: int, loading: DataLoading) -> TripletSample:
    """The triplet that a scene gives in an epoch.

    Masks are drawn before the scene is made smaller, for the reach of their errors is in its own pixels.

    Args:
        maps: of the composite, on its canvas; None when `loading.maps` is empty.

    Raises:
        ValueError: the scene is smaller than `loading.size_px`.
    """
    size_px = loading.size_px or parts.size[0]
    layer = target_layer(loading.seed, epoch, parts.key, len(parts.layers))
    flipped = loading.flip and is_flipped(loading.seed, epoch, parts.key)
    mask = resize_mask(_mask(parts, layer, epoch, loading), size_px)
    parts, maps = resized(parts, size_px), maps.resized(size_px) if maps else None
    colours = draw_recolouring(loading.seed, epoch, parts.key, loading.recolour_share)

    def rgb(picture_HW3: NDArray[np.uint8]) -> Tensor:
        signed_3HW = _signed(picture_HW3)
        return _mirror(colours.rgb(signed_3HW) if colours else signed_3HW, flipped)

    foreground_4HW = _foreground(parts.foreground(layer))
    pictures = map_pictures({name: getattr(maps, name) for name in loading.maps}, parts.size)
    return TripletSample(
        key=parts.key,
        layer=layer,
        epoch=epoch,
        flipped=flipped,
        composite_3HW=rgb(parts.composite),
        mask_1HW=_mirror(torch.from_numpy(mask.astype(np.float32))[None], flipped),
        foreground_4HW=_mirror(colours.rgba(foreground_4HW) if colours else foreground_4HW, flipped),
        background_3HW=rgb(parts.flatten(without=layer)),
        maps={name: _mirror(picture[0], flipped) for name, picture in pictures.items()},
    )


def _mask(parts: SceneParts, layer: int, epoch: int, loading: DataLoading) -> Mask:
    if loading.redraw_masks and (visible := parts.visible_mask(layer)).any():
        rng = generator(loading.seed, "training.mask", f"{epoch}/{parts.key}/{layer}")
        return imperfect_mask(visible, loading.masks, rng).mask
    # A target that shows nowhere has no mask to spoil; a stored one says where to look.
    if not parts.imperfect_masks:
        raise ValueError(f"scene {parts.key} has no stored masks, and none can be drawn for layer {layer}")
    return parts.imperfect_masks[layer]


def _signed(picture_HWC: NDArray[np.uint8]) -> Tensor:
    """[C, H, W] float32 in [-1, 1] of a uint8 picture."""
    return torch.from_numpy(picture_HWC).permute(2, 0, 1).float() / 127.5 - 1.0


def _foreground(rgba_HWC: Rgba) -> Tensor:
    return to_vae_range(torch.from_numpy(rgba_HWC)[None])[0]


def _mirror(picture_CHW: Tensor, flipped: bool) -> Tensor:
    return picture_CHW.flip(-1) if flipped else picture_CHW


def collate(samples: Sequence[TripletSample], positions: tuple[int, ...], end: int) -> TripletBatch:
    """Samples side by side; see `TripletBatch`."""
    return TripletBatch(
        positions=positions,
        end=end,
        keys=tuple(sample.key for sample in samples),
        layers=tuple(sample.layer for sample in samples),
        flipped=tuple(sample.flipped for sample in samples),
        composite_B3HW=torch.stack([sample.composite_3HW for sample in samples]),
        mask_B1HW=torch.stack([sample.mask_1HW for sample in samples]),
        foreground_B4HW=torch.stack([sample.foreground_4HW for sample in samples]),
        background_B3HW=torch.stack([sample.background_3HW for sample in samples]),
        maps={name: torch.stack([sample.maps[name] for sample in samples]) for name in samples[0].maps},
    )
