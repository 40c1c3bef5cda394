"""The adapter: the base at step 0, the right parameters trainable, the exact numbers of the real geometry."""

import copy
import json

import pytest
import torch
from diffusers import FluxTransformer2DModel

from benchmarks.model_geometry import count_parameters
from decoupage.adapter import AdapterConfig, adapt, trainable
from decoupage.bases import find_base
from decoupage.bases.spec import Text
from decoupage.contexts import make_contexts
from decoupage.sequences import HALVES, Condition, predict_layers
from tests.decoupage.tiny import flux_transformer, flux_vae

HEIGHT, WIDTH = 32, 48


def scene(base, foreground="foreground", maps=True):
    generator = torch.manual_seed(5)
    picture = torch.rand(1, 3, HEIGHT, WIDTH, generator=generator) * 2 - 1
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[..., 8:24, 10:30] = 1
    with torch.no_grad():
        contexts = make_contexts(base, flux_vae(), picture, mask, mask, foreground, torch.manual_seed(1))
    num_tokens = contexts.background_BNK.shape[1]
    text = Text(torch.randn(1, 6, 32, generator=generator), torch.randn(1, 32, generator=generator), torch.zeros(6, 3))
    fused = torch.randn(1, num_tokens, 64, generator=generator) if maps else None
    condition = Condition(contexts, fused, text, base.grid(HEIGHT, WIDTH))
    noisy = [torch.randn(1, num_tokens, 64, generator=generator) for _ in range(2)]
    return noisy, condition


@torch.no_grad()
def run(base, network, mode, noisy, condition):
    return predict_layers(base, network, *noisy, condition, torch.tensor([0.7]), 1.0, mode)


@pytest.mark.parametrize("maps", [("edges", "segmentation", "depth"), ()], ids=["maps", "no maps"])
def test_at_step_0_batch_mode_gives_the_background_of_the_unmodified_base_bit_for_bit(maps):
    base, network = find_base("flux-fill"), flux_transformer(384)
    noisy, condition = scene(base, maps=bool(maps))
    with torch.no_grad():
        tokens = torch.cat([noisy[0], condition.contexts.background_BNK], dim=-1)
        ids = base.ids("background", *condition.grid)
        expected = base.predict(network, tokens, ids, condition.text, torch.tensor([0.7]), 1.0)
    adapt(network, base, AdapterConfig(rank=4, maps=maps))
    background, _ = run(base, network, "batch", noisy, condition)
    assert torch.equal(background, expected)


def test_the_widened_projection_equals_the_base_on_any_fused_context():
    base, network = find_base("flux-fill"), flux_transformer(384)
    tokens = torch.randn(2, 6, 450)
    expected = network.x_embedder(tokens[..., :384].contiguous())
    adapt(network, base, AdapterConfig(rank=4))
    assert torch.equal(network.x_embedder(tokens), expected)


@pytest.mark.parametrize("name", ["flux-fill", "flux-kontext", "flux-kontext-native"])
@pytest.mark.parametrize("mode", ["joint", "batch"])
def test_every_base_runs_in_both_modes(name, mode):
    base = find_base(name)
    network = flux_transformer(base.projection_dim)
    config = AdapterConfig(base=name, rank=4, mode=mode)
    adapt(network, base, config)
    noisy, condition = scene(base)
    layers = run(base, network, mode, noisy, condition)
    assert all(layer.shape == (1, 6, 64) and layer.isfinite().all() for layer in layers)
    assert not torch.equal(*layers)


def test_in_joint_mode_each_half_sees_the_other_and_in_batch_mode_it_does_not():
    base, network = find_base("flux-fill"), flux_transformer(384)
    adapt(network, base, AdapterConfig(rank=4))
    noisy, condition = scene(base)
    changed = [noisy[0], noisy[1] + 1]
    for mode, sees in (("joint", True), ("batch", False)):
        before, after = run(base, network, mode, noisy, condition), run(base, network, mode, changed, condition)
        assert torch.equal(before[0], after[0]) is not sees


def test_foreground_context_is_a_live_switch():
    base, network = find_base("flux-fill"), flux_transformer(384)
    adapt(network, base, AdapterConfig(rank=4))
    outputs = []
    for kind in ("foreground", "background", "none"):
        noisy, condition = scene(base, foreground=kind)
        outputs.append(run(base, network, "batch", noisy, condition)[1])
    assert not torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[1], outputs[2])


def test_contexts_hide_what_is_to_be_generated():
    base, vae = find_base("flux-fill"), flux_vae()
    picture = torch.rand(1, 3, HEIGHT, WIDTH) * 2 - 1
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[..., :16] = 1
    other = torch.where(mask.bool(), torch.rand_like(picture), picture)
    with torch.no_grad():
        ours, theirs = (
            make_contexts(base, vae, p, mask, mask, "foreground", torch.manual_seed(0)) for p in (picture, other)
        )
    assert torch.equal(ours.background_BNK, theirs.background_BNK)
    assert not torch.equal(ours.foreground_BNK, theirs.foreground_BNK)
    assert torch.equal(ours.background_BNK[..., 64:], 1 - ours.foreground_BNK[..., 64:])


def test_only_lora_and_projection_learn():
    base, network = find_base("flux-fill"), flux_transformer(384).to(torch.bfloat16)
    frozen = copy.deepcopy(network.state_dict())
    adapt(network, base, AdapterConfig(rank=4))
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    projection = {"x_embedder.published.weight", "x_embedder.added.weight"}
    assert {name for name in learning if "lora_" not in name} == projection
    assert all(parameter.dtype == torch.float32 for parameter in trainable(network))
    optimiser = torch.optim.SGD(list(trainable(network)), lr=0.1)
    noisy, condition = scene(base)
    with torch.autocast("cpu", torch.bfloat16):
        layers = predict_layers(base, network, *noisy, condition, torch.tensor([0.5]), 1.0, "joint")
    sum(layer.float().square().mean() for layer in layers).backward()
    optimiser.step()
    after = network.state_dict()
    for name, value in frozen.items():
        module, kind = name.rsplit(".", 1)
        places = (name, f"{module}.base_layer.{kind}", f"{module}.published.{kind}")
        now = next(after[place] for place in places if place in after)
        assert torch.equal(now, value) is not (name == "x_embedder.weight"), name
    assert after["x_embedder.added.weight"].abs().sum() > 0


@pytest.mark.parametrize(("name", "known"), [("flux-fill", 384), ("flux-kontext", 384), ("flux-kontext-native", 320)])
@pytest.mark.parametrize("mode", ["joint", "batch"])
@pytest.mark.parametrize("maps", [True, False], ids=["maps", "no maps"])
def test_tokens_name_their_half_with_and_without_maps(name, known, mode, maps):
    base = find_base(name)
    network = flux_transformer(base.projection_dim)
    adapt(network, base, AdapterConfig(base=name, rank=4, mode=mode, maps=("depth",) if maps else ()))
    assert network.x_embedder.in_features == known + 2 + 64 * maps == network.config.in_channels
    seen = []
    network.x_embedder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    noisy, condition = scene(base, maps=maps)
    run(base, network, mode, noisy, condition)
    num_tokens, given = noisy[0].shape[1], 0 if condition.contexts.picture_BND is None else noisy[0].shape[1]
    of_halves = [torch.eye(len(HALVES))[i].expand(num_tokens, -1) for i in range(len(HALVES))]
    of_picture = torch.zeros(given, len(HALVES))
    expected = [[*of_halves, of_picture]] if mode == "joint" else [[half, of_picture] for half in of_halves]
    assert [tokens[0, :, known : known + 2].tolist() for tokens in seen] == [torch.cat(e).tolist() for e in expected]


@pytest.mark.parametrize("mode", ["joint", "batch"])
def test_what_names_the_halves_is_heard_once_it_is_trained_and_gets_gradients_at_once(mode):
    base, network = find_base("flux-fill"), flux_transformer(384)
    adapt(network, base, AdapterConfig(rank=4, mode=mode, maps=()))
    noisy, condition = scene(base, maps=False)
    before = run(base, network, mode, noisy, condition)
    layers = predict_layers(base, network, *noisy, condition, torch.tensor([0.7]), 1.0, mode)
    sum(layer.square().mean() for layer in layers).backward()
    added = network.x_embedder.added.weight
    assert added.shape[1] == 2 and (added.grad.abs() > 0).all()
    with torch.no_grad():
        added[:, HALVES.index("foreground")] = 0.5
    after = run(base, network, mode, noisy, condition)
    assert not torch.equal(before[1], after[1])
    assert torch.equal(before[0], after[0]) is (mode == "batch")


def test_numbers_of_the_real_geometry():
    base = find_base("flux-fill")
    with torch.device("meta"):
        network = FluxTransformer2DModel(in_channels=384, out_channels=64, guidance_embeds=True)
        adapt(network, base, AdapterConfig())
    assert count_parameters(network, base) == {
        "lora_modules": 418,
        "lora_parameters": 1_045_954_560,
        "projection_parameters": 1_382_400,
    }


def test_config_round_trip_and_faults():
    config = AdapterConfig(rank=8, maps=("depth",), mode="batch", alpha_levels=(0.1, 0.9))
    assert AdapterConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    for levels in ((0.5, 0.5), (-0.1, 1.0), (0.0, 1.1)):
        with pytest.raises(ValueError, match=r"adapter\.alpha_levels must be two rising numbers in \[0, 1\]"):
            AdapterConfig(alpha_levels=levels)
    with pytest.raises(ValueError, match=r"adapter\.rank must be at least 1, got 0"):
        AdapterConfig(rank=0)
    with pytest.raises(ValueError, match="got flow"):
        AdapterConfig(maps=("flow",))
    with pytest.raises(ValueError, match="unknown keys: colour"):
        AdapterConfig.from_dict({"colour": 1})
