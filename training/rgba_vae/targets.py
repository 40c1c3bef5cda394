"""What the RGBA VAE is to give back: a foreground, or a whole scene as an opaque picture."""

import torch
from torch import Tensor

from decoupage.randomness import hash64
from training.data import TripletBatch


def is_opaque(seed: int, position: int, opaque_share: float) -> bool:
    """Whether the sample at a position is the whole scene."""
    return hash64(seed, "training.rgba_vae.opaque", position) < opaque_share * 2**64


def rgba_targets(batch: TripletBatch, seed: int, opaque_share: float) -> Tensor:
    """[B, 4, H, W] in [-1, 1]: each sample's foreground (mid-gray under alpha -1), or its composite with alpha +1."""
    opaque = torch.tensor([is_opaque(seed, position, opaque_share) for position in batch.positions])
    chosen = opaque.to(batch.composite_B3HW.device)[:, None, None, None]
    return torch.where(chosen, as_opaque(batch.composite_B3HW), batch.foreground_B4HW)


def as_opaque(picture_B3HW: Tensor) -> Tensor:
    """A picture with alpha +1."""
    return torch.cat([picture_B3HW, torch.ones_like(picture_B3HW[:, :1])], dim=1)
