"""The samples of a run of the RGBA VAE: those it is trained on, those kept out to judge it by, and their targets.

A target is a foreground, or a whole scene as an opaque picture.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from decoupage.randomness import hash64
from pipelines.stages.store import Store
from training.data import DataLoading, TripletBatch, TripletLoader
from training.rgba_vae.config import RgbaVaeConfig
from training.task import Place


def make_loader(config: RgbaVaeConfig, source: Store | str, place: Place) -> TripletLoader:
    """The loader of the training samples; raises as `TripletLoader`."""
    return TripletLoader(source, DataLoading.of(config), place.rank, place.world_size, place.device.type == "cuda")


def validation_batches(
    config: RgbaVaeConfig, source: Store | str, rank: int = 0, world_size: int = 1
) -> Iterator[TripletBatch]:
    """The validation samples, one in a batch, the same ones each time whatever the run's seed; each rank has its own.

    There are `data.num_validation` in all, or as many as the scenes kept out of training hold.

    Raises:
        BadSetup: no scene is kept out, or as `TripletLoader`.
    """
    loading = replace(DataLoading.of(config, part="validation"), batch_size=1, num_workers=0)
    loader = TripletLoader(source, loading, rank, world_size)
    number = min(config.data.num_validation, loader.num_triplets) // world_size
    batches = loader.batches()
    for _ in range(max(1, number)):
        yield next(batches)


def is_opaque(seed: int, position: int, opaque_share: float) -> bool:
    """Whether the sample at a position is a whole scene, not a foreground."""
    return hash64(seed, "training.rgba_vae.opaque", position) < opaque_share * 2**64


def rgba_targets(batch: TripletBatch, seed: int, opaque_share: float) -> Tensor:
    """Targets [B, 4, H, W] in [-1, 1]: a foreground (mid-gray under alpha -1), or a composite with alpha +1."""
    opaque = torch.tensor([is_opaque(seed, position, opaque_share) for position in batch.positions])
    chosen = opaque.to(batch.composite_B3HW.device)[:, None, None, None]
    return torch.where(chosen, as_opaque(batch.composite_B3HW), batch.foreground_B4HW)


def as_opaque(picture_B3HW: Tensor) -> Tensor:
    """Pictures [B, 4, H, W] with alpha +1, from [B, 3, H, W]."""
    return torch.cat([picture_B3HW, torch.ones_like(picture_B3HW[:, :1])], dim=1)
