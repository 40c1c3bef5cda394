"""One scene as the tensors of one triplet, and triplets as a batch. No file is read here, and no order decided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from decoupage.images.sizes import Geometry, plan_geometry
from decoupage.images.types import Mask
from decoupage.maps.table import StoredMaps
from decoupage.preparation import PreparedBatch, prepare, prepare_rgb, prepare_rgba, unit_rgb
from decoupage.randomness import generator
from pipelines.masks.imperfect import imperfect_mask
from pipelines.scenes.parts import SceneParts
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
        hole_1HW, kept_1HW: the imperfect mask of the target as each half takes it (`decoupage.preparation`), 0 or 1.
        foreground_4HW: the target complete on the whole canvas, straight alpha, mid-gray (0) where alpha is -1.
        background_3HW: the scene without the target; the other layers stay.
        maps: the wanted maps of the composite as pictures [3, H, W].
    """

    key: str
    layer: int
    epoch: int
    flipped: bool
    composite_3HW: Tensor
    hole_1HW: Tensor
    kept_1HW: Tensor
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
    hole_B1HW: Tensor
    kept_B1HW: Tensor
    foreground_B4HW: Tensor
    background_B3HW: Tensor
    maps: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def start(self) -> int:
        """Global position of its first sample."""
        return self.positions[0]

    def prepared(self, shown: int) -> PreparedBatch:
        """The first so many as the pipeline takes them."""
        pictures = self.composite_B3HW[:shown].cpu()
        size = (pictures.shape[2], pictures.shape[3])
        masks = (self.hole_B1HW[:shown].cpu(), self.kept_B1HW[:shown].cpu())
        maps = {name: picture[:shown].cpu() for name, picture in self.maps.items()}
        return PreparedBatch(Geometry(size, size, size), pictures, *masks, maps)

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


def make_sample(parts: SceneParts, maps: StoredMaps, epoch: int, loading: DataLoading) -> TripletSample:
    """The triplet that a scene gives in an epoch: its composite prepared as any picture, and the truth likewise.

    Masks are drawn before the scene is made smaller, because the reach of their errors is in its own pixels.

    Args:
        maps: stored maps of the composite.

    Raises:
        ValueError: the scene is smaller than `loading.size_px`.
    """
    size_px = loading.size_px or parts.size[0]
    if size_px > min(parts.size):
        raise ValueError(f"data.size_px must be at most the scenes' {min(parts.size)} px, got {size_px}")
    layer = target_layer(loading.seed, epoch, parts.key, len(parts.layers))
    flipped = loading.flip and is_flipped(loading.seed, epoch, parts.key)
    geometry = plan_geometry(parts.size, multiple=1, max_pixels=size_px**2)
    wanted = {name: maps[name] for name in loading.maps}
    prepared = prepare(unit_rgb(parts.composite), _mask(parts, layer, epoch, loading), wanted, geometry)
    background_3HW = prepare_rgb(unit_rgb(parts.flatten(without=layer)), geometry)
    foreground_4HW = prepare_rgba(unit_rgb(parts.foreground(layer)), geometry)
    colours = draw_recolouring(loading.seed, epoch, parts.key, loading.recolour_share)

    def rgb(signed_3HW: Tensor) -> Tensor:
        return _mirror(colours.rgb(signed_3HW) if colours else signed_3HW, flipped)

    return TripletSample(
        key=parts.key,
        layer=layer,
        epoch=epoch,
        flipped=flipped,
        composite_3HW=rgb(prepared.picture_3HW),
        hole_1HW=_mirror(prepared.hole_1HW, flipped),
        kept_1HW=_mirror(prepared.kept_1HW, flipped),
        foreground_4HW=_mirror(colours.rgba(foreground_4HW) if colours else foreground_4HW, flipped),
        background_3HW=rgb(background_3HW),
        maps={name: _mirror(picture, flipped) for name, picture in prepared.maps.items()},
    )


def _mask(parts: SceneParts, layer: int, epoch: int, loading: DataLoading) -> Mask:
    if loading.redraw_masks and (visible := parts.visible_mask(layer)).any():
        rng = generator(loading.seed, "training.mask", f"{epoch}/{parts.key}/{layer}")
        return imperfect_mask(visible, loading.masks, rng).mask
    # A target that shows nowhere has no mask to spoil; a stored one says where to look.
    if not parts.imperfect_masks:
        raise ValueError(f"scene {parts.key} has no stored masks, and none can be drawn for layer {layer}")
    return parts.imperfect_masks[layer]


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
        hole_B1HW=torch.stack([sample.hole_1HW for sample in samples]),
        kept_B1HW=torch.stack([sample.kept_1HW for sample in samples]),
        foreground_B4HW=torch.stack([sample.foreground_4HW for sample in samples]),
        background_B3HW=torch.stack([sample.background_3HW for sample in samples]),
        maps={name: torch.stack([sample.maps[name] for sample in samples]) for name in samples[0].maps},
    )
