"""The network behind FID and KID: Inception v3 of 2015, in the form that its published weights were converted to.

It differs from torchvision's Inception v3: average pools leave padding out of their mean, and the last block pools by
maximum. Pictures are brought to 299 px as TensorFlow 1 did, without smoothing. Features are those of torch-fidelity,
whose state dict it takes. Imports torch: import it where it is used.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from decoupage.faults import BadOutput
from decoupage.images.types import Rgb
from evaluation.metrics.weights import check_shapes

NUM_FEATURES = 2048
SIDE_PX = 299
Step = tuple[str, int, tuple[int, int], int]
"""A unit: (name, channels out, (height, width) of the kernel, stride)."""


class Unit(nn.Module):
    """Convolution without a bias, batch normalisation, ReLU."""

    def __init__(self, ins: int, outs: int, kernel: tuple[int, int], stride: int, padding: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outs, eps=1e-3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features [B, C, H, W] of an input [B, C, H, W]."""
        return F.relu(self.bn(self.conv(x_BCHW)))


class Block(nn.Module):
    """Chains of units in parallel, and a pooled branch; all their channels together are the output.

    Args:
        ins: channels in.
        chains: chains of steps; where a step is a pair, both units read the same input.
        pooled: channels of the unit after the pool; 0 = none: such a block halves the picture.
        by_maximum: pool by maximum in a block that keeps the size; one that halves it always does.
    """

    def __init__(self, ins: int, chains: Sequence[Sequence[Step | tuple[Step, Step]]], pooled: int, by_maximum: bool):
        super().__init__()
        self._chains = [[_pair(step) for step in chain] for chain in chains]
        self._pooled, self._by_maximum = pooled, by_maximum
        self.outs = pooled or ins
        for chain in self._chains:
            channels = ins
            for steps in chain:
                for name, outs, (height, width), stride in steps:
                    padding = (height // 2, width // 2) if stride == 1 else (0, 0)
                    self.add_module(name, Unit(channels, outs, (height, width), stride, padding))
                channels = sum(step[1] for step in steps)
            self.outs += channels
        if pooled:
            self.branch_pool = Unit(ins, pooled, (1, 1), 1, (0, 0))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features [B, outs, H or (H - 1) / 2, ...] of an input [B, C, H, W]."""
        branches = []
        for chain in self._chains:
            y_BCHW = x_BCHW
            for steps in chain:
                y_BCHW = torch.cat([self.get_submodule(step[0])(y_BCHW) for step in steps], 1)
            branches.append(y_BCHW)
        return torch.cat([*branches, self._pool(x_BCHW)], 1)

    def _pool(self, x_BCHW: Tensor) -> Tensor:
        if not self._pooled:
            return F.max_pool2d(x_BCHW, 3, 2)
        if self._by_maximum:
            return self.branch_pool(F.max_pool2d(x_BCHW, 3, 1, 1))
        return self.branch_pool(F.avg_pool2d(x_BCHW, 3, 1, 1, count_include_pad=False))


class InceptionNet(nn.Module):
    """The network, from [B, 3, 299, 299] in -1..1 to [B, 2048]; named as the published weights, without classifier."""

    def __init__(self) -> None:
        super().__init__()
        for name, ins, outs, side, stride, padding in (
            ("Conv2d_1a_3x3", 3, 32, 3, 2, 0),
            ("Conv2d_2a_3x3", 32, 32, 3, 1, 0),
            ("Conv2d_2b_3x3", 32, 64, 3, 1, 1),
            ("Conv2d_3b_1x1", 64, 80, 1, 1, 0),
            ("Conv2d_4a_3x3", 80, 192, 3, 1, 0),
        ):
            self.add_module(name, Unit(ins, outs, (side, side), stride, (padding, padding)))
        channels = 192
        for name, block in (
            *((f"Mixed_5{letter}", _small(pooled)) for letter, pooled in (("b", 32), ("c", 64), ("d", 64))),
            ("Mixed_6a", _FIRST_HALVING),
            *((f"Mixed_6{letter}", _long(width)) for letter, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192))),
            ("Mixed_7a", _SECOND_HALVING),
            ("Mixed_7b", _WIDE),
            ("Mixed_7c", _WIDE),
        ):
            chains, pooled = block
            made = Block(channels, chains, pooled, by_maximum=name == "Mixed_7c")
            self.add_module(name, made)
            channels = made.outs

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features [B, 2048]: the mean over the last block's 8 x 8 positions."""
        for name, module in self.named_children():
            x_BCHW = module(x_BCHW)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x_BCHW = F.max_pool2d(x_BCHW, 3, 2)
        return x_BCHW.mean((2, 3))


class Inception:
    """The network with its weights, on a device.

    Args:
        state: state dict in torch-fidelity's or pytorch-fid's published file.
        device: where it runs.

    Raises:
        BadSetup: these are the weights of another network.
    """

    def __init__(self, state: Mapping[str, Tensor], device: str = "cpu") -> None:
        with torch.device("meta"):
            net = InceptionNet()
        # The number of batches seen in training is in no published file, and changes no result.
        wanted = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
        shapes = {name: tuple(value.shape) for name, value in wanted.items()}
        check_shapes(state, shapes, "evaluation.metrics.inception", "the Inception network of FID")
        net.load_state_dict({name: state[name].float() for name in wanted}, strict=False, assign=True)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = None
        self._net = net.eval().requires_grad_(False).to(device)
        self._device = device

    @torch.inference_mode()
    def features(self, pictures: Sequence[Rgb]) -> np.ndarray:
        """Features [B, 2048], float32, of [H, W, 3] uint8 pictures of one size.

        Raises:
            BadOutput: the network gives values that are not finite.
        """
        levels = torch.from_numpy(np.stack(pictures)).to(self._device).permute(0, 3, 1, 2).float()
        found = self._net((resize(levels, SIDE_PX) - 128) / 128)
        if not found.isfinite().all():
            raise BadOutput("Inception gave values that are not finite; check the file of evaluation.metrics.inception")
        return np.asarray(found.cpu().numpy())


def resize(x_BCHW: Tensor, side_px: int) -> Tensor:
    """Resize to [B, C, side_px, side_px] as TensorFlow 1's `resize_bilinear`: pixel i reads at i * H / side_px."""
    for axis in (2, 3):
        size = x_BCHW.shape[axis]
        place = torch.arange(side_px, dtype=torch.float32, device=x_BCHW.device) * (size / side_px)
        low = place.long()
        share = (place - low).view(-1, 1) if axis == 2 else place - low
        first, second = (x_BCHW.index_select(axis, taps) for taps in (low, (low + 1).clamp_max(size - 1)))
        x_BCHW = first + (second - first) * share
    return x_BCHW


def _pair(step: Step | tuple[Step, Step]) -> tuple[Step, ...]:
    return (step,) if isinstance(step[0], str) else step


Chains = tuple[tuple[Step | tuple[Step, Step], ...], ...]


def _small(pooled: int) -> tuple[Chains, int]:
    """A block at 35 x 35."""
    chains: Chains = (
        (("branch1x1", 64, (1, 1), 1),),
        (("branch5x5_1", 48, (1, 1), 1), ("branch5x5_2", 64, (5, 5), 1)),
        (
            ("branch3x3dbl_1", 64, (1, 1), 1),
            ("branch3x3dbl_2", 96, (3, 3), 1),
            ("branch3x3dbl_3", 96, (3, 3), 1),
        ),
    )
    return chains, pooled


def _long(width: int) -> tuple[Chains, int]:
    """A block at 17 x 17, with kernels of 7 x 7 as rows and columns."""
    chains: Chains = (
        (("branch1x1", 192, (1, 1), 1),),
        (
            ("branch7x7_1", width, (1, 1), 1),
            ("branch7x7_2", width, (1, 7), 1),
            ("branch7x7_3", 192, (7, 1), 1),
        ),
        (
            ("branch7x7dbl_1", width, (1, 1), 1),
            ("branch7x7dbl_2", width, (7, 1), 1),
            ("branch7x7dbl_3", width, (1, 7), 1),
            ("branch7x7dbl_4", width, (7, 1), 1),
            ("branch7x7dbl_5", 192, (1, 7), 1),
        ),
    )
    return chains, 192


_FIRST_HALVING: tuple[Chains, int] = (
    (
        (("branch3x3", 384, (3, 3), 2),),
        (
            ("branch3x3dbl_1", 64, (1, 1), 1),
            ("branch3x3dbl_2", 96, (3, 3), 1),
            ("branch3x3dbl_3", 96, (3, 3), 2),
        ),
    ),
    0,
)
_SECOND_HALVING: tuple[Chains, int] = (
    (
        (("branch3x3_1", 192, (1, 1), 1), ("branch3x3_2", 320, (3, 3), 2)),
        (
            ("branch7x7x3_1", 192, (1, 1), 1),
            ("branch7x7x3_2", 192, (1, 7), 1),
            ("branch7x7x3_3", 192, (7, 1), 1),
            ("branch7x7x3_4", 192, (3, 3), 2),
        ),
    ),
    0,
)
_WIDE: tuple[Chains, int] = (
    (
        (("branch1x1", 320, (1, 1), 1),),
        (
            ("branch3x3_1", 384, (1, 1), 1),
            (("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1)),
        ),
        (
            ("branch3x3dbl_1", 448, (1, 1), 1),
            ("branch3x3dbl_2", 384, (3, 3), 1),
            (("branch3x3dbl_3a", 384, (1, 3), 1), ("branch3x3dbl_3b", 384, (3, 1), 1)),
        ),
    ),
    192,
)
