"""The RGBA VAE as a task, with the small base's codec and with FLUX.1's class: it learns, is tied, and is exported."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from decoupage.bases.small import SmallFill, save_base
from decoupage.bases.small_codec import SmallCodec
from decoupage.faults import BadSetup
from decoupage.rgba_vae import decode_rgba, encode_rgba, opaque_drift
from pipelines.synthetic import FakeScenes, build_dataset
from tests.decoupage.tiny import flux_vae
from training.config import with_changes
from training.data import DataLoading, TripletBatch, TripletLoader
from training.rgba_vae.config import small_rgba_vae
from training.rgba_vae.data import as_opaque, rgba_targets
from training.rgba_vae.figures import composite_psnr_db
from training.rgba_vae.networks import RgbaAutoencoder, trunk_parameters
from training.rgba_vae.task import RgbaVaeTask, _new_discriminator, build
from training.task import Losses, Place

KINDS = ("weight", "bias")
WIDENED = {f"{layer}.{kind}" for layer in ("encoder.conv_in", "decoder.conv_out") for kind in KINDS}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("rgba_vae")
    build_dataset(root, FakeScenes(num_scenes=12, scenes_per_shard=6))
    return str(root)


def batch_of(dataset: str, size: int, start: int = 0) -> TripletBatch:
    return next(TripletLoader(dataset, DataLoading(batch_size=size, maps=())).batches(start))


def small_codec(dataset: str) -> SmallCodec:
    torch.manual_seed(0)
    codec = SmallCodec(hidden=8)
    codec.fit([batch_of(dataset, 8).composite_B3HW])
    return codec.eval()


def flux_codec(dataset: str) -> AutoencoderKL:
    return flux_vae()


CODECS = [small_codec, flux_codec]
Codec = Callable[[str], Any]


def make_task(dataset: str, codec: Codec = small_codec, **changes: Any) -> RgbaVaeTask:
    run = with_changes(
        small_rgba_vae(),
        {
            "data.size_px": 64,
            "compute.loader_workers": 0,
            "batch.micro_batch": 4,
            "data.validation_share": 0.3,
            "freeze_trunk_steps": 0,
            "weights.adversarial": 0.0,
            **{name.replace("__", "."): value for name, value in changes.items()},
        },
    )
    return RgbaVaeTask(run, dataset, codec(dataset), Place())


def learn(task: RgbaVaeTask, num_steps: int, learning_rate: float = 3e-3) -> list[Losses]:
    """A plain loop; the VAE's losses."""
    optimisers = [torch.optim.AdamW(m.parameters(), learning_rate, weight_decay=0.0) for m in task.modules.values()]
    history = []
    for step, batch in enumerate(islice(task.batches(0), num_steps)):
        for name, losses in task.losses(task.modules, batch, step):
            losses.total.backward()
            if name == "vae":
                history.append(losses)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    return history


def weights(task: RgbaVaeTask) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in task.modules["vae"].vae.state_dict().items()}


# --- learning ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "learning_rate"), [(flux_codec, 3e-3), (small_codec, 3e-4)])
def test_it_learns(dataset: str, codec: Codec, learning_rate: float):
    task = make_task(dataset, codec)
    with torch.no_grad():  # The small base's codes are closed forms, almost right from the start.
        task.modules["vae"].vae.decoder.conv_out.bias -= 0.1
    before, figures = task.validation_loss(task.modules), task.figures()
    history = learn(task, 32, learning_rate)
    assert task.validation_loss(task.modules) < 0.8 * before
    assert task.figures().alpha_mae < figures.alpha_mae
    assert all(set(losses.parts) == set(history[0].parts) for losses in history)
    assert history[0].parts["perceptual"] is None and history[0].parts["adversarial"] is None


@pytest.mark.parametrize("adversarial", [0.0, 1.0])
@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_trains_the_same_however_it_is_split(dataset: str, codec: Codec, adversarial: float):
    """One batch of eight, four of two, eight of one; without an adversary and with one that has started."""
    changes = {"opaque_share": 0.5, "weights__adversarial": adversarial, "weights__adversarial_from_step": 0}

    def gradients(micro_batch: int) -> dict[str, torch.Tensor]:
        task = make_task(dataset, codec, batch__micro_batch=micro_batch, **changes)
        # Away from the start, where the tie has no slope and alpha is 1 up to rounding, beyond which it is clipped.
        with torch.no_grad():
            task.modules["vae"].vae.encoder.conv_in.bias += 0.1
            task.modules["vae"].vae.decoder.conv_out.bias -= 0.05
        count = 8 // micro_batch
        for batch in islice(task.batches(4), count):
            for _, losses in task.losses(task.modules, batch, 0):
                (losses.total / count).backward()
        modules = torch.nn.ModuleDict(dict(task.modules))
        return {name: parameter.grad for name, parameter in modules.named_parameters() if parameter.requires_grad}

    whole = gradients(8)
    assert any(name.startswith("discriminator") for name in whole) == bool(adversarial)
    for split in (gradients(2), gradients(1)):
        for name, gradient in whole.items():
            scale = float(gradient.abs().max() + 1e-3)
            assert torch.allclose(gradient, split[name], rtol=1e-3, atol=1e-5 * scale), name


def test_the_draw_from_the_posterior_is_the_samples_own(dataset: str):
    one, other = make_task(dataset, flux_codec), make_task(dataset, flux_codec, seed=1)
    whole = one._noise((3, 4, 5))
    assert whole.shape == (3, 16, 8, 8)
    assert torch.equal(whole[1:], one._noise((4, 5)))
    assert not torch.equal(whole, other._noise((3, 4, 5)))
    assert make_task(dataset, small_codec)._noise((0,)) is None


def test_equal_runs_are_equal(dataset: str):
    torch.manual_seed(1)
    first = make_task(dataset, flux_codec)
    learn(first, 2)
    torch.manual_seed(2)
    second = make_task(dataset, flux_codec)
    learn(second, 2)
    assert all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())


def test_the_trunk_waits(dataset: str):
    task = make_task(dataset, flux_codec, freeze_trunk_steps=2)
    start = weights(task)
    learn(task, 2)
    moved = {name for name, value in weights(task).items() if not torch.equal(value, start[name])}
    assert moved == WIDENED
    task = make_task(dataset, flux_codec, freeze_trunk_steps=2)
    learn(task, 3)
    assert len({name for name, value in weights(task).items() if not torch.equal(value, start[name])}) > len(WIDENED)


@pytest.mark.parametrize(
    ("codec", "widened"),
    [
        (flux_codec, WIDENED),
        (small_codec, WIDENED | {f"decoder.{layer}.{kind}" for layer in ("patches", "refine_in") for kind in KINDS}),
    ],
)
def test_the_trunk_is_all_but_the_widened_layers(dataset: str, codec: Codec, widened: set[str]):
    task = make_task(dataset, codec)
    vae = task.modules["vae"].vae
    trunk = {id(parameter) for parameter in trunk_parameters(vae, task._rgb_vae)}
    assert {name for name, parameter in vae.named_parameters() if id(parameter) not in trunk} == widened


# --- opaque samples ---------------------------------------------------------------------------------------------


def test_targets_are_foregrounds_and_opaque_scenes_by_position(dataset: str):
    batch = batch_of(dataset, 9)
    assert torch.equal(rgba_targets(batch, 0, 0.0), batch.foreground_B4HW)
    assert torch.equal(rgba_targets(batch, 0, 1.0), as_opaque(batch.composite_B3HW))
    mixed = rgba_targets(batch, 0, 0.5)
    opaque = (mixed[:, 3] == 1).flatten(1).all(1)
    assert 0 < int(opaque.sum()) < 9
    assert torch.equal(mixed[3:], rgba_targets(batch_of(dataset, 6, start=3), 0, 0.5))


@pytest.mark.parametrize("codec", CODECS)
def test_opaque_scenes_are_tied_to_the_base(dataset: str, codec: Codec):
    def drift(tie: float) -> float:
        task = make_task(dataset, codec, weights__tie=tie)
        history = learn(task, 10)
        assert history[0].parts["tie"] == pytest.approx(0, abs=1e-9)  # Widening changes no latent.
        vae = task.modules["vae"].vae
        return opaque_drift(vae, task._rgb_vae, batch_of(dataset, 4).composite_B3HW).latent_mse

    if codec is small_codec:  # Its encoder is not trained.
        assert drift(0.0) < 1e-12
    else:
        assert drift(10.0) < 0.5 * drift(0.0)


def test_without_opaque_samples_nothing_is_tied_and_the_figures_keep_their_names(dataset: str):
    (losses,) = learn(make_task(dataset, opaque_share=0.0), 1)
    assert losses.parts["tie"] == 0.0


def test_the_base_stays_what_it_is(dataset: str):
    codec = small_codec(dataset)
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    task = make_task(dataset, lambda _: codec)
    learn(task, 2)
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items())
    assert not any(parameter.requires_grad for parameter in codec.parameters())


# --- the adversary ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", CODECS)
def test_the_adversary_comes_late(dataset: str, codec: Codec):
    task = make_task(dataset, codec, weights__adversarial=1.0, weights__adversarial_from_step=3)
    batch = next(task.batches(0))
    assert list(task.modules) == ["vae", "discriminator"]
    early, late = (dict(task.losses(task.modules, batch, step)) for step in (2, 3))
    assert list(early) == ["vae"] and early["vae"].parts["adversarial"] is None
    assert list(late) == ["vae", "discriminator"] and late["vae"].parts["adversarial"] is not None
    late["discriminator"].total.backward()
    assert all(parameter.grad is None for parameter in task.modules["vae"].parameters())
    assert all(parameter.grad is not None for parameter in task.modules["discriminator"].parameters())
    learn(task, 5)


def test_the_discriminator_begins_by_the_seed_alone():
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = _new_discriminator(0).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    same, other = (_new_discriminator(seed).state_dict() for seed in (0, 1))
    name = "layers.0.weight"
    assert torch.equal(first[name], same[name]) and not torch.equal(first[name], other[name])


def test_without_an_adversary_there_is_no_discriminator(dataset: str):
    assert list(make_task(dataset).modules) == ["vae"]


# --- judging and export -----------------------------------------------------------------------------------------


def test_validation_is_the_same_each_time_and_for_every_seed(dataset: str):
    first, other = make_task(dataset, flux_codec), make_task(dataset, flux_codec, seed=3, data__flip=False)
    loss = first.validation_loss(first.modules)
    assert loss == first.validation_loss(first.modules) == other.validation_loss(other.modules)


def test_samples_are_a_picture_of_targets_and_reconstructions(dataset: str):
    task = make_task(dataset)
    picture = task.samples(task.modules)
    assert picture.dtype == "uint8" and picture.ndim == 3 and picture.shape[2] == 3
    assert picture.shape[1] > 4 * 192


@pytest.mark.parametrize("codec", CODECS)
def test_the_export_is_what_its_class_loads(dataset: str, codec: Codec, tmp_path: Path):
    task = make_task(dataset, codec)
    learn(task, 2)
    task.export(tmp_path)
    loaded = type(codec(dataset)).from_pretrained(tmp_path)
    rgba = batch_of(dataset, 2).foreground_B4HW
    decoded = decode_rgba(loaded, encode_rgba(loaded, rgba))
    assert decoded.shape == rgba.shape
    assert torch.allclose(decoded, task.modules["vae"](rgba).decoded_B4HW, atol=1e-4)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["num_samples"] > 0 and 0 <= figures["alpha_mae"] <= 1
    drift = figures["opaque_psnr_rgb_vae_db"] - figures["opaque_psnr_db"]
    assert figures["opaque_psnr_loss_db"] == pytest.approx(drift, abs=1e-6)


def test_composites_are_compared_over_nine_colours():
    target = torch.rand(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert composite_psnr_db(target, target) == 100
    invisible = torch.cat([target[:, :3], torch.full_like(target[:, 3:], -1)], dim=1)
    other_colour = torch.cat([-target[:, :3], torch.full_like(target[:, 3:], -1)], dim=1)
    assert composite_psnr_db(invisible, other_colour) == 100
    # Opaque pictures that differ by 0.2 everywhere: 10 log10(4 / 0.04) on any colour.
    plain = torch.ones(1, 4, 8, 8) * torch.tensor([0.2, 0.2, 0.2, 1.0]).view(1, 4, 1, 1)
    black = torch.ones(1, 4, 8, 8) * torch.tensor([0.0, 0.0, 0.0, 1.0]).view(1, 4, 1, 1)
    assert composite_psnr_db(plain, black) == pytest.approx(20, abs=1e-4)


# --- set-up -----------------------------------------------------------------------------------------------------


def test_a_run_is_known_by_recipe_data_and_base(dataset: str):
    task = make_task(dataset)
    assert set(task.identity) == {"recipe", "data", "order", "base"}
    assert make_task(dataset).identity == task.identity
    assert make_task(dataset, flux_codec).identity["base"] != task.identity["base"]
    assert make_task(dataset, opaque_share=0.3).identity["recipe"] != task.identity["recipe"]


def test_a_base_is_loaded_from_its_folder(dataset: str, tmp_path: Path):
    components = dict(SmallFill().new())
    components["vae"] = small_codec(dataset)
    save_base(components, str(tmp_path))
    run = make_task(dataset).config
    task = build(run, dataset, str(tmp_path), Place())
    assert task.identity == make_task(dataset).identity


def test_samples_of_another_size_are_refused(dataset: str):
    with pytest.raises(BadSetup, match="128"):
        make_task(dataset, data__size_px=128)


def test_recomputed_activations_change_nothing(dataset: str):
    plain, recomputed = (make_task(dataset, flux_codec, compute__checkpoint_every_blocks=n) for n in (0, 1))
    first, second = ([losses.total.item() for losses in learn(task, 2)] for task in (plain, recomputed))
    assert first == pytest.approx(second)


def test_one_call_is_encoding_and_decoding(dataset: str):
    vae = make_task(dataset, flux_codec).modules["vae"].vae
    rgba = batch_of(dataset, 2).foreground_B4HW
    coded = RgbaAutoencoder(vae)(rgba)
    assert torch.allclose(coded.decoded_B4HW, decode_rgba(vae, encode_rgba(vae, rgba)), atol=1e-5)
    assert coded.mean.shape == coded.logvar.shape == (2, 16, 8, 8) and not coded.deterministic
