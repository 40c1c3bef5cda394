"""LPIPS: how different two pictures look to a network's early layers (Zhang et al., CVPR 2018; version 0.1, AlexNet).

Only the five convolutions are computed, from torchvision's and lpips' published weights, so neither package is needed.
Imports torch: import it where it is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from decoupage.faults import BadOutput
from decoupage.images.types import Rgb
from evaluation.metrics.weights import check_shapes

MIN_SIDE_PX = 31
"""Least side of a picture: below it nothing is left after the second pooling."""
_LAYERS = (
    # (name in torchvision's AlexNet, channels in, channels out, side of the kernel, stride, padding)
    ("features.0", 3, 64, 11, 4, 2),
    ("features.3", 64, 192, 5, 1, 2),
    ("features.6", 192, 384, 3, 1, 1),
    ("features.8", 384, 256, 3, 1, 1),
    ("features.10", 256, 256, 3, 1, 1),
)
_POOLED_BEFORE = ("features.3", "features.6")
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""lpips' `ScalingLayer`, for colours in -1..1."""
_TINY = 1e-10


@dataclass(frozen=True)
class Distance:
    """LPIPS of two pictures; 0 = they are equal.

    Attributes:
        mean: LPIPS as published: the sum of each layer's mean over its own grid.
        map: [H, W] float32, the layers' differences resized to the picture's size, bilinearly, and summed.
    """

    mean: float
    map: np.ndarray


class Lpips:
    """The network with its weights, on a device.

    Args:
        trunk: state dict of torchvision's AlexNet; its classifier is not used.
        head: state dict of lpips' linear layers.
        device: where it runs.

    Raises:
        BadSetup: these are the weights of other networks.
    """

    def __init__(self, trunk: Mapping[str, Tensor], head: Mapping[str, Tensor], device: str = "cpu") -> None:
        kernels: dict[str, tuple[int, ...]] = {
            f"{name}.weight": (outs, ins, side, side) for name, ins, outs, side, *_ in _LAYERS
        }
        biases: dict[str, tuple[int, ...]] = {f"{name}.bias": (outs,) for name, _, outs, *_ in _LAYERS}
        heads: dict[str, tuple[int, ...]] = {
            f"lin{i}.model.1.weight": (1, layer[2], 1, 1) for i, layer in enumerate(_LAYERS)
        }
        check_shapes(trunk, kernels | biases, "evaluation.metrics.lpips.trunk", "torchvision's AlexNet")
        check_shapes(head, heads, "evaluation.metrics.lpips.head", "LPIPS 0.1 for AlexNet")
        self._trunk = {name: trunk[name].to(device, torch.float32) for name in (*kernels, *biases)}
        self._heads = [head[name].to(device, torch.float32) for name in heads]
        self._device = device

    @property
    def worst(self) -> float:
        """Upper bound of the distance: features that are not negative and have unit length differ by no more."""
        return 2 * sum(float(weights.clamp_min(0).max()) for weights in self._heads)

    @torch.inference_mode()
    def distances(self, pictures: Sequence[Rgb], truth: Rgb) -> list[Distance] | None:
        """Distance of each picture to the truth, all [H, W, 3] uint8. None where they are below `MIN_SIDE_PX`.

        Raises:
            BadOutput: the network gives values that are not finite.
        """
        height, width = truth.shape[:2]
        if min(height, width) < MIN_SIDE_PX:
            return None
        means = torch.zeros(len(pictures), device=self._device)
        maps = torch.zeros(len(pictures), 1, height, width, device=self._device)
        for features, weights in zip(self._features([*pictures, truth]), self._heads, strict=True):
            unit = features / (features.square().sum(1, keepdim=True).sqrt() + _TINY)
            weighed = F.conv2d((unit[:-1] - unit[-1:]).square(), weights)
            means += weighed.mean((1, 2, 3))
            maps += F.interpolate(weighed, (height, width), mode="bilinear", align_corners=False)
        if not (means.isfinite().all() and maps.isfinite().all()):
            raise BadOutput("LPIPS gave values that are not finite; check the files of evaluation.metrics.lpips")
        found = zip(means.tolist(), maps[:, 0].cpu().numpy(), strict=True)
        return [Distance(mean, here) for mean, here in found]

    def _features(self, pictures: Sequence[Rgb]) -> list[Tensor]:
        """Features [B, C, h, w] of each of the five layers, after their ReLU."""
        levels = torch.from_numpy(np.stack(pictures)).to(self._device).permute(0, 3, 1, 2).float()
        shift, scale = (torch.tensor(values, device=self._device).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
        x_BCHW = (levels / 127.5 - 1 - shift) / scale
        found = []
        for name, *_, stride, padding in _LAYERS:
            if name in _POOLED_BEFORE:
                x_BCHW = F.max_pool2d(x_BCHW, 3, 2)
            kernel, bias = self._trunk[f"{name}.weight"], self._trunk[f"{name}.bias"]
            x_BCHW = F.relu(F.conv2d(x_BCHW, kernel, bias, stride, padding))
            found.append(x_BCHW)
        return found
