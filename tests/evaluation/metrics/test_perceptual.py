"""LPIPS against loops written out, its own bound, and the package lpips where it is installed."""

import re

import cv2
import numpy as np
import pytest
import torch

from decoupage.faults import BadSetup
from evaluation.metrics.perceptual import MIN_SIDE_PX, Lpips
from tests.evaluation.metrics.networks import random_lpips, random_states

rng = np.random.default_rng(0)
ONE, OTHER, TRUTH = rng.integers(0, 256, (3, 48, 40, 3), np.uint8)
LPIPS = random_lpips()


def convolved(x, weight, bias, stride, padding):
    """[C, H, W] by explicit windows."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (1, 2))[:, ::stride, ::stride]
    return np.maximum(np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None], 0)


def pooled(x):
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2].max((3, 4))


def written_out(picture, truth):
    """The published definition in float64: each layer's weighed map, for pictures of [H, W, 3] levels."""
    trunk, head = ({name: value.double().numpy() for name, value in state.items()} for state in random_states())
    maps = []
    inputs = []
    for levels in (picture, truth):
        scaled = (levels / 255 * 2 - 1 - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
        inputs.append(scaled.transpose(2, 0, 1))
    for i, (name, stride, padding) in enumerate((("0", 4, 2), ("3", 1, 2), ("6", 1, 1), ("8", 1, 1), ("10", 1, 1))):
        weight, bias = trunk[f"features.{name}.weight"], trunk[f"features.{name}.bias"]
        inputs = [convolved(pooled(x) if i in (1, 2) else x, weight, bias, stride, padding) for x in inputs]
        unit = [x / (np.sqrt((x**2).sum(0)) + 1e-10) for x in inputs]
        maps.append(np.einsum("chw,c->hw", (unit[0] - unit[1]) ** 2, head[f"lin{i}.model.1.weight"].ravel()))
    return maps


def test_the_network_written_out():
    first, second = LPIPS.distances([ONE, OTHER], TRUTH)
    for found, picture in ((first, ONE), (second, OTHER)):
        maps = written_out(picture, TRUTH)
        assert found.mean == pytest.approx(sum(layer.mean() for layer in maps), rel=1e-4)
        # OpenCV's bilinear resize upwards reads at the same places.
        expected = sum(cv2.resize(layer, (40, 48), interpolation=cv2.INTER_LINEAR) for layer in maps)
        assert found.map.shape == (48, 40) and np.allclose(found.map, expected, rtol=1e-3, atol=1e-5)


def test_the_same_picture_is_at_no_distance():
    same, other = LPIPS.distances([TRUTH, ONE], TRUTH)
    assert same.mean == 0 and not same.map.any()
    assert 0 < other.mean < LPIPS.worst and other.map.max() < LPIPS.worst


def test_the_map_is_where_the_pictures_differ():
    big = rng.integers(0, 256, (256, 256, 3), np.uint8)
    changed = big.copy()
    changed[:64, :64] = 0
    (found,) = LPIPS.distances([changed], big)
    assert found.map[:64, :64].mean() > 20 * found.map[192:, 192:].mean()


def test_the_bound_is_reached_by_features_that_share_nothing():
    trunk, head = random_states()
    for value in trunk.values():
        value.zero_()
    trunk["features.0.weight"][:2, 0] = torch.tensor([1.0, -1.0])[:, None, None]  # Red, and no red.
    trunk["features.0.bias"][:2] = torch.tensor([0.0, 1e-3])
    for name, value in head.items():
        value.fill_(0.5 if name.startswith("lin0") else 0.0)
    lpips = Lpips(trunk, head)
    red, black = np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64, 3), np.uint8)
    (found,) = lpips.distances([red], black)
    assert lpips.worst == 1.0 and found.mean == pytest.approx(1.0)


def test_small_pictures():
    side = MIN_SIDE_PX
    assert LPIPS.distances([ONE[:side, :side]], TRUTH[:side, :side]) is not None
    assert LPIPS.distances([ONE[: side - 1]], TRUTH[: side - 1]) is None


def test_other_weights_are_refused():
    trunk, head = random_states()
    del trunk["features.8.bias"]
    with pytest.raises(BadSetup, match=r"lpips.trunk: these are not weights of .*AlexNet: features.8.bias is missing"):
        Lpips(trunk, head)
    trunk, head = random_states()
    head["lin2.model.1.weight"] = torch.zeros(1, 256, 1, 1)  # VGG's.
    with pytest.raises(BadSetup, match=r"lpips.head: .*lin2.* the shape \[1, 256, 1, 1\], expected \[1, 384, 1, 1\]"):
        Lpips(trunk, head)


def test_the_package_says_the_same():
    package = pytest.importorskip("lpips", exc_type=ImportError)
    reference = package.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    trunk, head = random_states()
    names = {name: re.sub(r"^net\.slice\d\.", "features.", name) for name in reference.state_dict()}
    reference.load_state_dict(
        {name: {**trunk, **head}[ours] for name, ours in names.items() if ours in {**trunk, **head}}, strict=False
    )
    pictures = [torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1 for picture in (ONE, TRUTH)]
    (found,) = LPIPS.distances([ONE], TRUTH)
    with torch.no_grad():
        assert found.mean == pytest.approx(float(reference(*pictures)), rel=1e-5)
        reference.spatial = True
        assert np.allclose(found.map, reference(*pictures)[0, 0].numpy(), rtol=1e-4, atol=1e-6)
