"""Feature networks for tests: LPIPS with random weights, and cheap features in Inception's place."""

import cv2
import numpy as np
import torch

from evaluation.metrics.perceptual import Lpips

_TRUNK = (("0", 3, 64, 11), ("3", 64, 192, 5), ("6", 192, 384, 3), ("8", 384, 256, 3), ("10", 256, 256, 3))


def random_states(seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """(trunk, head): state dicts of the published form."""
    draw = torch.Generator().manual_seed(seed)
    trunk, head = {}, {}
    for place, (name, ins, outs, side) in enumerate(_TRUNK):
        scale = (2 / (ins * side * side)) ** 0.5
        trunk[f"features.{name}.weight"] = scale * torch.randn(outs, ins, side, side, generator=draw)
        trunk[f"features.{name}.bias"] = 0.1 * torch.randn(outs, generator=draw)
        head[f"lin{place}.model.1.weight"] = torch.rand(1, outs, 1, 1, generator=draw)
    return trunk, head


def random_lpips() -> Lpips:
    """LPIPS with the same random weights each time."""
    return Lpips(*random_states())


class Averages:
    """Stands where `Inception` stands: a picture's colours on a grid of 4 x 4 as 48 features."""

    def features(self, pictures):
        return np.stack([cv2.resize(p, (4, 4), interpolation=cv2.INTER_AREA).ravel() / 64 for p in pictures])
