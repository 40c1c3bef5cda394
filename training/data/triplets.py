"""One scene as the tensors of one triplet, and triplets as a batch. No file is read here, and no order decided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from decoupage.images.grabcut import refined_mask
from decoupage.images.sizes import Geometry, plan_geometry
from decoupage.images.types import Mask
from decoupage.maps.table import StoredMaps
from decoupage.preparation import Prepared, prepare, prepare_rgb, prepare_rgba, unit_rgb
from decoupage.randomness import generator
from pipelines.masks.imperfect import imperfect_mask
from pipelines.scenes.parts import SceneParts
from training.data.config import DataLoading
from training.data.order import is_flipped
from training.data.recolour import draw_recolouring


@dataclass(frozen=True)
class TripletBatch:
    """Triplets side by side; float32, pictures in [-1, 1], of scenes and of before/after pairs.

    Attributes:
        positions: global position of each sample; an unreadable one is replaced by another.
        end: where every process's batch of this step ends. A run that continues after this batch starts at `end`.
        keys, layers: key of each sample's scene, and which of its layers is the target; 0 = lowest.
        flipped: whether each sample is mirrored.
        composite_B3HW: the scenes flattened.
        hole_B1HW, kept_B1HW: the imperfect masks of the targets as each half takes them (`decoupage.preparation`), 0
            or 1.
        foreground_B4HW: the targets complete on the whole canvas, straight alpha, mid-gray (0) where alpha is -1.
        background_B3HW: the scenes without the targets; the other layers stay.
        has_foreground_B: bool; False = the target's foreground is not known, and what stands for it says nothing.
        maps: the wanted maps of the composites as pictures [B, 3, H, W].
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
    has_foreground_B: Tensor
    maps: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.keys)

    def prepared(self, shown: int) -> Prepared:
        """The first samples, as the pipeline takes them."""
        pictures = self.composite_B3HW[:shown].cpu()
        size = (pictures.shape[2], pictures.shape[3])
        masks = (self.hole_B1HW[:shown].cpu(), self.kept_B1HW[:shown].cpu())
        maps = {name: picture[:shown].cpu() for name, picture in self.maps.items()}
        return Prepared(Geometry(size, size, size), pictures, *masks, maps)

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


def make_sample(
    parts: SceneParts, layer: int, maps: StoredMaps, position: int, epoch: int, loading: DataLoading
) -> TripletBatch:
    """The triplet of a scene whose target is this layer, as a batch of one.

    Its composite is prepared as any picture, and the truth likewise.

    Masks are drawn before the scene is made smaller, because the reach of their errors is in its own pixels.

    Args:
        maps: stored maps of the composite.

    Raises:
        ValueError: the scene is smaller than `loading.size_px`.
    """
    size_px = loading.size_px or parts.size[0]
    if size_px > min(parts.size):
        raise ValueError(f"data.size_px must be at most the scenes' {min(parts.size)} px, got {size_px}")
    flipped = loading.flip and is_flipped(loading.seed, epoch, parts.key, layer)
    geometry = plan_geometry(parts.size, multiple=1, max_pixels=size_px**2)
    wanted = {name: maps[name] for name in loading.maps}
    mask = _mask(parts, layer, epoch, loading)
    if loading.refine_masks:
        mask = refined_mask(parts.composite, mask)
    prepared = prepare(unit_rgb(parts.composite), mask, wanted, geometry)
    background_3HW = prepare_rgb(unit_rgb(parts.flatten(without=layer)), geometry)
    foreground_4HW = prepare_rgba(unit_rgb(parts.foreground(layer)), geometry)
    colours = draw_recolouring(loading.seed, epoch, parts.key, layer, loading.recolour_share)

    def rgb(signed_3HW: Tensor) -> Tensor:
        return _mirror(colours.rgb(signed_3HW) if colours else signed_3HW, flipped)

    return TripletBatch(
        positions=(position,),
        end=position + 1,
        keys=(parts.key,),
        layers=(layer,),
        flipped=(flipped,),
        composite_B3HW=rgb(prepared.picture_B3HW[0])[None],
        hole_B1HW=_mirror(prepared.hole_B1HW, flipped),
        kept_B1HW=_mirror(prepared.kept_B1HW, flipped),
        foreground_B4HW=_mirror(colours.rgba(foreground_4HW) if colours else foreground_4HW, flipped)[None],
        background_B3HW=rgb(background_3HW)[None],
        has_foreground_B=torch.tensor([parts.has_foreground]),
        maps={name: _mirror(picture_B3HW, flipped) for name, picture_B3HW in prepared.maps.items()},
    )


def _mask(parts: SceneParts, layer: int, epoch: int, loading: DataLoading) -> Mask:
    if loading.redraw_masks and parts.visible_mask(layer).any():
        rng = generator(loading.seed, "training.mask", f"{epoch}/{parts.key}/{layer}")
        return imperfect_mask(parts, layer, loading.masks, rng).mask
    # A target that shows nowhere has no mask to spoil; a stored one says where to look.
    if not parts.imperfect_masks:
        raise ValueError(f"scene {parts.key} has no stored masks, and none can be drawn for layer {layer}")
    return parts.imperfect_masks[layer]


def _mirror(picture: Tensor, flipped: bool) -> Tensor:
    return picture.flip(-1) if flipped else picture


def collate(samples: Sequence[TripletBatch], end: int) -> TripletBatch:
    """Samples side by side, as the batch that ends at `end`."""
    columns = {item.name: [getattr(sample, item.name) for sample in samples] for item in fields(TripletBatch)}
    joined: dict[str, Any] = {
        name: torch.cat(values) if isinstance(values[0], Tensor) else tuple(chain.from_iterable(values))
        for name, values in columns.items()
        if name not in ("end", "maps")
    }
    maps = {name: torch.cat([sample.maps[name] for sample in samples]) for name in samples[0].maps}
    return TripletBatch(**joined, end=end, maps=maps)
