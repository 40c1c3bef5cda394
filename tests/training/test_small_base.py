"""The small base: crops and holes by position, nothing held out among them, and an export that loads."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoupage.bases import find_base
from decoupage.faults import BadSetup
from decoupage.images.codecs import encode_png
from decoupage.randomness import generator
from pipelines.packaged.held_out import smallest
from pipelines.packaged.photographs import PHOTOGRAPHS
from profiles.profile import load_profile
from training.config import with_changes
from training.loop import export, fit, make_accelerator
from training.small_base.config import HELD_OUT, small_base
from training.small_base.photographs import Photograph, crop, draw_hole, generators, read_photographs, recoloured
from training.small_base.task import HoleBatch, SmallBaseTask, num_parameters
from training.task import Place

SIZE_PX = 32
CONFIG = with_changes(
    small_base(),
    {
        "geometry.dim_heads": 12,
        "geometry.num_heads": 2,
        "geometry.num_single": 1,
        "photographs.size_px": SIZE_PX,
        "photographs.held_out": ("kept",),
        "photographs.num_validation": 6,
        "optimiser.learning_rate": 5e-3,
        "schedule.num_steps": 6,
        "schedule.warmup_steps": 0,
        "schedule.kind": "constant",
        "batch.micro_batch": 4,
        "output.save_every_steps": 3,
        "output.sample_every_steps": 6,
    },
)


def plain(name: str, level: int, height_px: int = 90, width_px: int = 60) -> Photograph:
    """One gray in three levels; crops of it say whose they are."""
    rgb = np.full((height_px, width_px, 3), level, np.uint8)
    return Photograph(name, f"{level:064x}", (rgb, rgb[::2, ::2]))


def noisy(name: str, seed: int) -> Photograph:
    """Smooth blobs."""
    coarse = generator(seed, "small-base", name).integers(0, 256, (6, 6, 3), np.uint8)
    rgb = np.asarray(cv2.resize(coarse, (96, 72), interpolation=cv2.INTER_CUBIC), np.uint8)
    return Photograph(name, f"{seed:064x}", (rgb,))


@pytest.fixture(scope="module")
def photographs() -> list[Photograph]:
    return [noisy("kept", 0), noisy("one", 1), noisy("two", 2)]


def take(task: SmallBaseTask, number: int, start: int = 0) -> list[HoleBatch]:
    return list(islice(task.batches(start), number))


def teach(task: SmallBaseTask, batches: Sequence[HoleBatch]) -> dict[str, list[float]]:
    """A plain loop; losses by module."""
    rates = {"network": 5e-3, "decoder": 1e-3}
    optimisers = {
        name: torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], rates[name])
        for name, module in task.modules.items()
    }
    history: dict[str, list[float]] = {name: [] for name in task.modules}
    for step, batch in enumerate(batches):
        for name, losses in task.losses(task.modules, batch, step):
            losses.total.backward()
            optimisers[name].step()
            optimisers[name].zero_grad()
            history[name].append(float(losses.total.detach()))
    return history


# --- holes and crops --------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32), size_px=st.sampled_from([16, 32, 64, 100]), max_share=st.floats(0.07, 1.0))
def test_a_hole_is_neither_empty_nor_too_large(seed: int, size_px: int, max_share: float):
    hole = draw_hole(size_px, max_share, np.random.default_rng(seed))
    assert hole.shape == (size_px, size_px) and hole.dtype == bool
    assert 0 < hole.mean() <= max_share
    assert np.array_equal(hole, draw_hole(size_px, max_share, np.random.default_rng(seed)))


def test_holes_have_many_shapes():
    shares = [draw_hole(64, 0.5, next(generators(0, "holes", i))).mean() for i in range(200)]
    assert min(shares) < 0.05 and max(shares) > 0.35 and len(set(shares)) > 150


@given(seed=st.integers(0, 2**32), min_share=st.floats(0.1, 1.0), share=st.floats(0.0, 1.0))
def test_crops_are_squares_of_one_photograph(seed: int, min_share: float, share: float):
    rng = np.random.default_rng(seed)
    square = crop([plain("dark", 40), plain("bright", 200)], SIZE_PX, min_share, rng)
    assert square.shape == (SIZE_PX, SIZE_PX, 3) and square.dtype == np.uint8
    assert np.unique(square).tolist() in ([40], [200])
    picture = recoloured(square, share, rng)
    assert picture.dtype == np.float32 and picture.min() >= -1.0 and picture.max() <= 1.0


def test_without_recolouring_a_crop_keeps_its_colours():
    rgb = np.arange(SIZE_PX * SIZE_PX * 3, dtype=np.int64).reshape(SIZE_PX, SIZE_PX, 3).astype(np.uint8)
    picture = recoloured(rgb, 0.0, np.random.default_rng(0))
    assert np.array_equal(np.round((picture + 1) * 127.5).astype(np.uint8), rgb)


def test_photographs_come_from_the_packages_and_from_folders(tmp_path: Path):
    rgb = generator(0, "photograph", 0).integers(0, 256, (80, 70, 3), np.uint8)
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "one.png").write_bytes(encode_png(rgb))
    (tmp_path / "tiny.png").write_bytes(encode_png(rgb[:20]))
    found = {photograph.name: photograph for photograph in read_photographs([str(tmp_path)], SIZE_PX)}
    assert np.array_equal(found["series/one"].levels[0], rgb)
    assert all(min(level.shape[:2]) >= SIZE_PX for level in found["series/one"].levels)
    assert "tiny" not in found and {"astronaut", "coffee"} < set(found)
    assert list(found) == sorted(found)


def test_folders_without_photographs_and_names_that_repeat_are_refused(tmp_path: Path):
    with pytest.raises(BadSetup, match="holds no photographs"):
        read_photographs([str(tmp_path)], SIZE_PX)
    (tmp_path / "coffee.png").write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
    with pytest.raises(BadSetup, match="two photographs are named coffee"):
        read_photographs([str(tmp_path)], SIZE_PX)


# --- held out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["demo", "small_fill"])
def test_the_shipped_base_and_the_profiles_hold_out_the_same_photographs_by_hash(profile: str):
    packaged = {photograph.name for photograph in PHOTOGRAPHS}
    held_out = set(load_profile(profile).library.held_out)
    assert held_out & packaged == set(HELD_OUT) == set(small_base().photographs.held_out)
    backgrounds = [photograph.name for photograph in PHOTOGRAPHS if photograph.role != "foregrounds"]
    assert set(smallest("photograph", backgrounds, 12)) == set(backgrounds) & held_out


def test_held_out_photographs_are_never_trained_on():
    config = with_changes(CONFIG, {"photographs.held_out": ("kept",), "photographs.recolour_share": 0.0})
    task = SmallBaseTask(config, [plain("kept", 200), plain("one", 40), plain("two", 60)], Place())
    assert [photograph.name for photograph in task.trained] == ["one", "two"]
    seen = {round((float(value) + 1) * 127.5) for batch in take(task, 20) for value in batch.picture_B3HW.unique()}
    assert seen == {40, 60}
    assert {round((float(value) + 1) * 127.5) for value in task.validation.picture_B3HW.unique()} == {200}


@pytest.mark.parametrize("names", [["one", "two"], ["kept"]])
def test_both_parts_must_have_photographs(names: list[str]):
    with pytest.raises(BadSetup, match="photographs to train on and held-out ones"):
        SmallBaseTask(CONFIG, [noisy(name, 0) for name in names], Place())


# --- samples ----------------------------------------------------------------------------------------------------


def same(first: HoleBatch, second: HoleBatch, of_first: slice = slice(None)) -> bool:
    return torch.equal(first.picture_B3HW[of_first], second.picture_B3HW) and torch.equal(
        first.hole_B1HW[of_first], second.hole_B1HW
    )


def test_samples_belong_to_positions(photographs: list[Photograph]):
    task = SmallBaseTask(CONFIG, photographs, Place())
    counts = [sum(p.numel() for p in module.parameters() if p.requires_grad) for module in task.modules.values()]
    assert num_parameters(CONFIG) == (sum(counts), counts[0])
    first, second, third = take(task, 3)
    assert (first.positions, first.end, second.positions[0]) == ((0, 1, 2, 3), 4, 4)
    assert same(second, take(task, 1, start=4)[0])
    assert not torch.equal(first.picture_B3HW, third.picture_B3HW)
    halves = [SmallBaseTask(CONFIG, photographs, Place(rank=rank, world_size=2)) for rank in (0, 1)]
    for rank, task in enumerate(halves):
        (batch,) = take(task, 1)
        assert batch.positions == tuple(range(rank, 8, 2)) and batch.end == 8
        assert same(first, HoleBatch(0, (), batch.picture_B3HW[:2], batch.hole_B1HW[:2]), slice(rank, None, 2))
    other = SmallBaseTask(with_changes(CONFIG, {"seed": 1}), photographs, Place())
    assert not torch.equal(first.picture_B3HW, take(other, 1)[0].picture_B3HW)
    assert same(other.validation, SmallBaseTask(CONFIG, photographs, Place()).validation)


def test_a_run_is_known_by_recipe_and_photographs(photographs: list[Photograph]):
    mine = SmallBaseTask(CONFIG, photographs, Place()).identity
    assert SmallBaseTask(with_changes(CONFIG, {"output.keep_last": 1}), photographs, Place()).identity == mine
    assert SmallBaseTask(CONFIG, [*photographs, noisy("three", 3)], Place()).identity["recipe"] == mine["recipe"]
    assert SmallBaseTask(CONFIG, [*photographs, noisy("three", 3)], Place()).identity != mine
    assert SmallBaseTask(with_changes(CONFIG, {"seed": 1}), photographs, Place()).identity != mine


# --- learning and export ----------------------------------------------------------------------------------------


class Wrapped(torch.nn.Module):
    """As torch wraps a network for several processes."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: object, **kwargs: object) -> object:
        return self.module(*args, **kwargs)


def test_a_network_that_is_wrapped_for_several_processes_has_the_same_losses(photographs: list[Photograph]):
    task = SmallBaseTask(CONFIG, photographs, Place())
    (batch,) = take(task, 1)
    wrapped = {name: Wrapped(module) for name, module in task.modules.items()}
    for (_, mine), (_, theirs) in zip(task.losses(task.modules, batch, 0), task.losses(wrapped, batch, 0), strict=True):
        assert torch.equal(mine.total, theirs.total)


def test_a_filling_has_no_noise_level_of_its_own(photographs: list[Photograph], monkeypatch: pytest.MonkeyPatch):
    """By it alone the network would know a filling, and answer nothing; then no adapter learns on it."""
    changes = {"objective.filling_share": 0.25, "batch.micro_batch": 64}
    task = SmallBaseTask(with_changes(CONFIG, changes), photographs, Place())
    seen = []
    monkeypatch.setattr(
        task, "_predict", lambda network, tokens, sigma_B: seen.append((tokens, sigma_B)) or tokens[..., :256]
    )
    (batch,) = take(task, 1)
    next(iter(task.losses(task.modules, batch, 0)))
    ((tokens, sigma_B),) = seen
    at_one = tokens[sigma_B == 1.0][..., :256]
    spread = at_one.flatten(1).std(dim=1)
    assert 0.4 < (sigma_B == 1.0).float().mean() < 0.9
    assert (spread > 0.9).float().mean() > 0.3 and (spread < 0.9).any()


def test_network_and_decoder_learn(photographs: list[Photograph]):
    task = SmallBaseTask(CONFIG, photographs, Place())
    before = {name: value.clone() for name, value in task.components["vae"].named_parameters()}
    history = teach(task, take(task, 1) * 15)
    for losses in history.values():
        assert losses[-1] < 0.9 * losses[0]
    moved = {n for n, value in task.components["vae"].named_parameters() if not torch.equal(value, before[n])}
    assert moved and all(name.startswith("decoder.") for name in moved)


def test_figures_are_of_holes_and_of_what_surrounds_them(photographs: list[Photograph]):
    task = SmallBaseTask(CONFIG, photographs, Place())
    (name, losses), (other, _) = task.losses(task.modules, take(task, 1)[0], 0)
    assert (name, other) == ("network", "decoder")
    low, high = sorted(float(losses.parts[part].detach()) for part in ("hole", "outside"))
    assert low <= float(losses.total.detach()) <= high
    assert task.validation_loss(task.modules) == task.validation_loss(task.modules) > 0


def test_a_run_exports_a_base_with_its_card(photographs: list[Photograph], tmp_path: Path):
    task = SmallBaseTask(CONFIG, photographs, Place())
    accelerator = make_accelerator(CONFIG, "cpu")
    outcome = fit(task, accelerator, tmp_path)
    folder = export(task, outcome, accelerator, tmp_path)
    loaded = find_base("small-fill").load(str(folder), dtype=torch.float16)
    assert {loaded[part].dtype for part in ("transformer", "vae")} == {torch.float16}
    assert loaded["transformer"].config.attention_head_dim == 12
    for part in ("transformer", "vae"):
        ours = task.components[part].state_dict()
        assert all(torch.equal(value, ours[key].half()) for key, value in loaded[part].state_dict().items())
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["num_crops"] == 6
    assert set(figures["psnr_mask"]) == {"small_fill", "smooth", "telea", "navier_stokes"}
    card = (folder / "README.md").read_text()
    assert f"| telea | {figures['psnr_mask']['telea']} |" in card and "Held out: kept." in card
    assert task.identity["photographs"] in card and "6 steps of 4 crops" in card
    assert (tmp_path / "samples" / "000006.png").is_file()
