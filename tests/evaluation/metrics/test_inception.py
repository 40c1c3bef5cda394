"""The Inception network: its parts against loops, its shape against published counts, and torch-fidelity's own."""

import numpy as np
import pytest
import torch
from torch import nn

from decoupage.faults import BadSetup
from evaluation.metrics.inception import Block, Inception, InceptionNet, resize

rng = np.random.default_rng(0)


def random_state(net):
    """Weights that neither die out nor blow up on the way."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, 0, 0.1)
    return net.state_dict()


@pytest.fixture(scope="module")
def state():
    return random_state(InceptionNet())


def test_names_and_sizes_are_those_of_the_published_file(state):
    """The file holds 23,885,392 numbers besides counters, 2048 * 1008 + 1008 of them in the classifier."""
    kept = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert sum(value.numel() for value in kept.values()) == 23_885_392 - 2048 * 1008 - 1008
    for name, shape in (
        ("Conv2d_1a_3x3.conv.weight", (32, 3, 3, 3)),
        ("Mixed_5b.branch_pool.conv.weight", (32, 192, 1, 1)),
        ("Mixed_6a.branch3x3.bn.running_var", (384,)),
        ("Mixed_6c.branch7x7dbl_4.conv.weight", (160, 160, 7, 1)),
        ("Mixed_7a.branch7x7x3_4.conv.weight", (192, 192, 3, 3)),
        ("Mixed_7c.branch3x3dbl_3b.conv.weight", (384, 384, 3, 1)),
    ):
        assert tuple(kept[name].shape) == shape
    assert len([name for name in kept if name.endswith("conv.weight")]) == 94


def test_a_block_by_hand():
    """A chain that forks, beside an average that leaves padding out of its mean."""
    chains = ((("first", 2, (1, 1), 1), (("across", 1, (1, 3), 1), ("down", 1, (3, 1), 1))),)
    block = Block(2, chains, 3, by_maximum=False).eval()
    random_state(block)
    x = rng.normal(size=(2, 5, 4))

    def unit(name, x, height, width):
        module = block.get_submodule(name)
        weight, bn = module.conv.weight.detach().double().numpy(), module.bn
        padded = np.pad(x, ((0, 0), (height // 2,) * 2, (width // 2,) * 2))
        made = np.zeros((len(weight), 5, 4))
        for y in range(5):
            for z in range(4):
                made[:, y, z] = (weight * padded[:, y : y + height, z : z + width]).sum((1, 2, 3))
        mean, var, scale, shift = (
            value.detach().double().numpy()[:, None, None]
            for value in (bn.running_mean, bn.running_var, bn.weight, bn.bias)
        )
        return np.maximum((made - mean) / np.sqrt(var + 1e-3) * scale + shift, 0)

    averaged = np.zeros_like(x)
    for y in range(5):
        for z in range(4):
            averaged[:, y, z] = x[:, max(y - 1, 0) : y + 2, max(z - 1, 0) : z + 2].mean((1, 2))
    first = unit("first", x, 1, 1)
    expected = [unit("across", first, 1, 3), unit("down", first, 3, 1), unit("branch_pool", averaged, 1, 1)]
    with torch.no_grad():
        found = block(torch.from_numpy(x[None]).float())[0].numpy()
    assert block.outs == 5 and np.allclose(found, np.concatenate(expected), atol=1e-5)


def test_a_block_that_halves_keeps_its_input_pooled():
    block = Block(2, ((("halved", 3, (3, 3), 2),),), 0, by_maximum=False).eval()
    x = torch.randn(1, 2, 7, 9)
    found = block(x)
    assert found.shape == (1, 5, 3, 4) and found[0, 3, 1, 2] == x[0, 0, 2:5, 4:7].max()


@pytest.mark.parametrize("size", [(8, 5), (299, 299), (40, 300)])
def test_resize_pixel_by_pixel(size):
    x = rng.random((*size,))
    found = resize(torch.from_numpy(x)[None, None].float(), 7)[0, 0].numpy()
    for i in range(7):
        for j in range(7):
            (y, dy), (z, dz) = (divmod(place * length / 7, 1) for place, length in ((i, size[0]), (j, size[1])))
            rows, columns = ([int(low), min(int(low) + 1, length - 1)] for low, length in ((y, size[0]), (z, size[1])))
            corners = x[np.ix_(rows, columns)]
            assert found[i, j] == pytest.approx(np.array([1 - dy, dy]) @ corners @ np.array([1 - dz, dz]), abs=1e-3)


def test_features_of_pictures(state):
    inception = Inception({**state, "fc.weight": torch.zeros(1008, 2048)})  # The classifier may be there.
    pictures = rng.integers(0, 256, (2, 24, 32, 3), np.uint8)
    both = inception.features(list(pictures))
    assert both.shape == (2, 2048) and both.dtype == np.float32 and np.isfinite(both).all()
    assert np.allclose(inception.features([pictures[1]])[0], both[1], rtol=1e-3) and not np.allclose(*both, rtol=0.1)


def test_other_weights_are_refused(state):
    with pytest.raises(BadSetup, match=r"not weights of the Inception network of FID: Mixed_7c.* is missing"):
        Inception({name: value for name, value in state.items() if not name.startswith("Mixed_7c")})
    transposed = {**state, "Mixed_6b.branch7x7_2.conv.weight": torch.zeros(128, 128, 7, 1)}
    with pytest.raises(BadSetup, match=r"has the shape \[128, 128, 7, 1\], expected \[128, 128, 1, 7\]"):
        Inception(transposed)


def test_torch_fidelity_says_the_same(state, tmp_path):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", exc_type=ImportError)
    file = tmp_path / "weights.pth"
    torch.save({**state, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, file)
    reference = module.FeatureExtractorInceptionV3("net", ["2048"], str(file))
    pictures = rng.integers(0, 256, (2, 90, 70, 3), np.uint8)
    expected = reference(torch.from_numpy(pictures).permute(0, 3, 1, 2))[0].numpy()
    assert np.allclose(Inception(state).features(list(pictures)), expected, rtol=1e-4, atol=1e-4 * expected.std())
