"""The adapter as a task: what learns and what stays, whose loss it is, how it is judged, by what it is known."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from decoupage.bases.small import SmallFill
from decoupage.faults import BadSetup
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.publishing.folder import read_manifest
from decoupage.rgba_vae import widen_vae
from pipelines.config import MasksConfig
from tests.training.adapter.adapter_runs import (
    Place64,
    lay_out,
    loss_of,
    make_task,
    pipeline_of,
    take,
    teach,
    tiny_form,
    tiny_task,
    values_of,
)
from training.adapter.start import starting_pipeline
from training.adapter.task import NAME, NUM_SHOWN, AdapterTask
from training.checkpoint_files import STATE, Progress, check_identity
from training.config import TrainingConfig
from training.data import TripletBatch
from training.task import Place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place64:
    return lay_out(tmp_path_factory.mktemp("adapter"))


def demo_task(place: Place64, at: Place | None = None, **changes: Any) -> AdapterTask:
    return make_task(place, tiny_form("demo", **changes), at=at)


def rows(batch: TripletBatch, chosen: Sequence[int]) -> TripletBatch:
    """Some samples of a batch, in this order."""
    index = torch.tensor(chosen)
    values: dict[str, Any] = {item.name: getattr(batch, item.name) for item in fields(batch)}
    tensors = {name: value[index] for name, value in values.items() if isinstance(value, torch.Tensor)}
    tuples = {name: tuple(value[i] for i in chosen) for name, value in values.items() if isinstance(value, tuple)}
    return replace(batch, maps={name: picture[index] for name, picture in batch.maps.items()}, **tensors, **tuples)


# --- what learns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["paper", "demo"])
def test_the_adapter_moves_and_the_base_does_not(place: Place64, recipe: str):
    task = tiny_task(place, recipe)
    pipe = pipeline_of(task)
    parts = {"transformer": pipe.transformer, "fusion": pipe.fusion, "vae": pipe.vae, "vae_rgba": pipe.vae_rgba}
    before = {name: values_of(part) for name, part in parts.items()}
    teach(task, take(task, 3))
    moved = {
        part: {name for name, value in module.named_parameters() if not torch.equal(value, before[part][name])}
        for part, module in parts.items()
    }
    assert moved["vae"] == moved["vae_rgba"] == set()
    lora = {name for name in before["transformer"] if ".lora_" in name}
    projection = {name for name in before["transformer"] if name.startswith("x_embedder.") and "bias" not in name}
    assert moved["transformer"] == lora | projection
    assert moved["fusion"] == set(before["fusion"])
    assert not any(value.any() for name, value in before["transformer"].items() if ".lora_B." in name)
    assert not before["transformer"]["x_embedder.added.weight"].any()


def test_only_the_adapter_asks_for_gradients(place: Place64):
    task = demo_task(place)
    names = {name for name, value in task.modules[NAME].named_parameters() if value.requires_grad}
    assert all(name.startswith(("fusion.", "network.x_embedder.")) or ".lora_" in name for name in names)
    assert not any(".vae" in name for name, _ in task.modules[NAME].named_parameters())


# --- the loss ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["paper", "demo"])
def test_the_loss_of_a_batch_is_the_mean_of_its_samples(place: Place64, recipe: str):
    """Whatever it is split into, and in whatever order: noise belongs to positions."""
    task = tiny_task(place, recipe, batch__micro_batch=4, objective__modality_dropout=0.5)
    teach(task, take(task, 2))
    (batch,) = take(task, 1, start=24)
    with torch.no_grad():
        whole = float(loss_of(task, batch).total)
        halves = [float(loss_of(task, rows(batch, half)).total) for half in ((0, 1), (2, 3))]
        turned = float(loss_of(task, rows(batch, (3, 1, 0, 2))).total)
        moved = float(loss_of(task, replace(batch, positions=(9, 8, 7, 6))).total)
    assert np.mean(halves) == pytest.approx(whole, rel=1e-6)
    assert turned == pytest.approx(whole, rel=1e-6)
    assert abs(moved - whole) > 1e-4


def test_two_processes_have_the_loss_of_one(place: Place64):
    one = demo_task(place, batch__micro_batch=4)
    two = [demo_task(place, at=Place(rank=rank, world_size=2), batch__micro_batch=2) for rank in (0, 1)]
    with torch.no_grad():
        (whole,), parts = take(one, 1), [take(task, 1)[0] for task in two]
        assert sorted(position for part in parts for position in part.positions) == list(whole.positions)
        losses = [float(loss_of(task, part).total) for task, part in zip(two, parts, strict=True)]
        assert np.mean(losses) == pytest.approx(float(loss_of(one, whole).total), rel=1e-6)


def test_the_loss_depends_on_the_seed(place: Place64):
    losses = [
        float(loss_of(task, take(task, 1)[0]).total.detach()) for task in (demo_task(place), demo_task(place, seed=1))
    ]
    assert losses[0] != losses[1]


def test_maps_are_dropped_sample_by_sample(place: Place64):
    task = demo_task(place, batch__micro_batch=4, objective__modality_dropout=0.5)
    seen: list[torch.Tensor] = []
    module = task.modules[NAME]
    module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[4]))
    for batch in take(task, 8):
        loss_of(task, batch)
        loss_of(task, rows(batch, (3, 2, 1, 0)))
    drawn_BM = torch.cat(seen[::2])
    assert drawn_BM.shape == (32, 3) and drawn_BM.dtype == torch.bool
    assert 0.3 < drawn_BM.float().mean() < 0.7
    assert len({tuple(row.tolist()) for row in drawn_BM}) > 4
    assert torch.equal(drawn_BM, torch.cat([present.flip(0) for present in seen[1::2]]))
    task.validation_loss(task.modules)
    assert seen[-1].all()


@pytest.mark.parametrize("part", ["recomposition", "pixels"])
def test_the_halves_and_what_is_asked_for_add_up(place: Place64, part: str):
    off = {"objective__recomposition_weight": 0.0, "objective__pixels_weight": 0.0}
    plain, weighted = demo_task(place, **off), demo_task(place, **off | {f"objective__{part}_weight": 2.0})
    batches = take(plain, 8)
    for task in (plain, weighted):
        for batch in batches:
            with torch.no_grad():
                losses = loss_of(task, batch)
            total = losses.parts["background"] + losses.parts["foreground"]
            if task is weighted:
                total = total + 2.0 * losses.parts[part]
            else:
                assert part not in losses.parts
            assert float(losses.total) == pytest.approx(float(total), rel=1e-6)


def test_the_recomposition_has_a_gradient_of_its_own(place: Place64):
    gradients = []
    for weight in (0.0, 5.0):
        task = demo_task(
            place, batch__micro_batch=8, objective__pure_noise_share=0.0, objective__recomposition_weight=weight
        )
        losses = loss_of(task, take(task, 1)[0])
        losses.total.backward()
        name = next(name for name in values_of(task.modules[NAME]) if ".lora_B." in name and "single" in name)
        gradients.append(task.modules[NAME].get_parameter(name).grad)
    assert losses.parts["recomposition"] > 0
    assert not torch.allclose(gradients[0], gradients[1])


@pytest.mark.parametrize("recipe", ["paper", "no_fused_context"])
@pytest.mark.parametrize("mode", ["joint", "batch"])
def test_the_journal_says_how_far_the_added_columns_have_come(place: Place64, recipe: str, mode: str):
    task = tiny_task(place, recipe, adapter__mode=mode)
    network, seen = pipeline_of(task).transformer, []
    projection = network.x_embedder
    names = {"added_weight_rms_halves"} | ({"added_weight_rms_fused", "fused_share"} if recipe == "paper" else set())
    (batch,) = take(task, 1)
    at_first = loss_of(task, batch).parts
    assert {name: float(at_first[name]) for name in at_first if "added" in name or "share" in name} == dict.fromkeys(
        names, 0.0
    )
    with torch.no_grad():
        projection.added.weight[:, :2] = 0.5
        projection.added.weight[:, 2:] = torch.randn(projection.added.weight[:, 2:].shape) * 0.1
    hook = projection.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    parts = loss_of(task, batch).parts
    hook.remove()
    assert float(parts["added_weight_rms_halves"]) == pytest.approx(0.5)
    if recipe == "paper":
        tokens = torch.cat([x.flatten(0, 1) for x in seen])
        part = tokens[:, 386:] @ projection.added.weight[:, 2:].T
        share = (part.norm() / projection.published(tokens[:, :384]).norm()).detach()
        assert float(parts["fused_share"]) == pytest.approx(float(share), rel=1e-4) and share > 0
        rms = float(projection.added.weight.detach()[:, 2:].square().mean().sqrt())
        assert float(parts["added_weight_rms_fused"]) == pytest.approx(rms)
    assert not projection.added._forward_hooks and not projection.published._forward_hooks


# --- judging ----------------------------------------------------------------------------------------------------


def test_validation_samples_are_never_trained_on(place: Place64):
    task = demo_task(place)
    judged = {key for batch in task._validation for key in batch.keys}
    trained = {key for batch in take(task, 30) for key in batch.keys}
    assert judged and trained and not judged & trained


def test_validation_is_the_same_each_time_and_for_every_seed(place: Place64):
    task = demo_task(place, objective__modality_dropout=0.5)
    start = task.validation_loss(task.modules)
    other = demo_task(place, seed=3, data__flip=False, data__redraw_masks=False)
    torch.manual_seed(0)
    pipeline_of(other).transformer.load_state_dict(pipeline_of(task).transformer.state_dict())
    pipeline_of(other).fusion.load_state_dict(pipeline_of(task).fusion.state_dict())
    assert other.validation_loss(other.modules) == start
    teach(task, take(task, 4))
    state = torch.random.get_rng_state()
    taught = task.validation_loss(task.modules)
    assert taught == task.validation_loss(task.modules) != start
    assert torch.equal(torch.random.get_rng_state(), state)


def test_without_validation_there_is_no_validation_loss(place: Place64):
    task = demo_task(place, data__num_validation=0)
    assert np.isnan(task.validation_loss(task.modules))


@pytest.mark.parametrize(("num_validation", "num_shown"), [(4, 4), (8, NUM_SHOWN), (0, NUM_SHOWN)])
def test_a_grid_shows_several_samples_whatever_the_micro_batch(place: Place64, num_validation: int, num_shown: int):
    pictures = [
        task.samples(task.modules)
        for size in (1, 2)
        if (task := demo_task(place, batch__micro_batch=size, data__num_validation=num_validation))
    ]
    assert pictures[0].shape == pictures[1].shape
    # Two micro-batches of one look as one of two, but for the last bits.
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() < 0.5
    one = demo_task(place, batch__micro_batch=1, data__num_validation=1)
    heights = [one.samples(one.modules).shape[0], pictures[0].shape[0]]
    assert round(heights[1] / heights[0]) == num_shown


@pytest.mark.parametrize("recipe", ["paper", "kontext_base", "no_fused_context", "demo"])
def test_samples_are_a_picture_and_leave_training_as_it_was(place: Place64, recipe: str):
    task = tiny_task(place, recipe, adapter__num_inference_steps=1)
    picture = task.samples(task.modules)
    assert picture.dtype == np.uint8 and picture.ndim == 3
    assert np.array_equal(picture, task.samples(task.modules))
    assert task.modules[NAME].training and pipeline_of(task).transformer.training


def test_an_export_is_calibrated_by_validation_and_says_so(place: Place64, tmp_path: Path):
    task = demo_task(place, data__num_validation=4)
    assert pipeline_of(task).adapter.alpha_levels == (0.0, 1.0)
    with torch.no_grad():  # A decoder that is never sure: alpha about one half everywhere, more where there is more.
        pipeline_of(task).vae_rgba.decoder.conv_out.weight[3] *= 0.2
        pipeline_of(task).vae_rgba.decoder.conv_out.bias[3] = 0
    task.export(tmp_path / "first")
    low, high = read_manifest(tmp_path / "first").adapter["alpha_levels"]
    assert 0 <= low < high == 1 - low
    assert (low, high) == pipeline_of(task).adapter.alpha_levels
    none = demo_task(place, data__num_validation=0)
    none.export(tmp_path / "none")
    assert pipeline_of(none).adapter.alpha_levels == (0.0, 1.0)


def test_an_export_brings_the_prompt_that_it_was_taught_with(place: Place64, tmp_path: Path):
    task = make_task(place, tiny_form("paper", data__num_validation=0))
    task.export(tmp_path / "export")
    source = place.bases["flux-fill"]
    loaded = LayerDecompositionPipeline.from_pretrained(tmp_path / "export", base=source, maps="none")
    expected = LayerDecompositionPipeline.from_pretrained(tmp_path / "export", base=source, maps="none", text=True)
    with torch.no_grad():
        text = loaded.base.embed_text(expected.components, [""], torch.device("cpu"))
    assert loaded.text_encoder_2 is None and loaded.empty_prompt is not None
    assert torch.equal(loaded.empty_prompt.tokens_BLD, text.tokens_BLD)
    assert torch.equal(loaded.empty_prompt.pooled_BP, text.pooled_BP)


def test_the_card_of_an_export_says_what_stands_in_and_its_code_runs(place: Place64, tmp_path: Path, monkeypatch):
    widen_vae(SmallFill().load()["vae"]).save_pretrained(tmp_path / "vae")
    config = tiny_form("demo", data__num_validation=2)
    pipe = starting_pipeline(config, None, str(tmp_path / "vae"), torch.device("cpu"))  # On the base that is packaged.
    AdapterTask(config, place.data, pipe, MasksConfig(), Place()).export(tmp_path / "export")
    card = (tmp_path / "export" / "README.md").read_text()
    assert "`small-fill` in place of FLUX.1-Fill" in card
    assert "huggingface.co" not in card
    assert re.search(r"\| soft_iou_whole of the foreground \(2 validation triplets, .*\) \| 0\.\d+ \|", card)
    assert re.search(r"\| size \| \d+\.\d MB in addition to the base \|", card)
    assert "trained at 64 px, sampled in 1 step;" in card
    monkeypatch.chdir(tmp_path / "export")
    Image.fromarray(np.full((64, 96, 3), 90, np.uint8)).save("photo.png")
    Image.fromarray(np.pad(np.full((20, 20), 255, np.uint8), ((20, 24), (30, 46)))).save("mask.png")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert Image.open("foreground.png").size == Image.open("background.png").size == (96, 64)
    assert Image.open("foreground.png").mode == "RGBA"


# --- identity ---------------------------------------------------------------------------------------------------


def config_of(place: Place64, **changes: Any) -> dict[str, str]:
    return demo_task(place, **changes).identity


def test_a_run_is_known_by_what_decides_it(place: Place64, tmp_path: Path):
    mine = config_of(place)
    assert set(mine) == {"recipe", "data", "order", "masks", "base", "rgba_vae"}
    assert config_of(place, output__save_every_steps=5) == mine
    other_recipe = config_of(place, adapter__rank=5)
    assert {name for name in mine if other_recipe[name] != mine[name]} == {"recipe"}
    other_data = make_task(place, tiny_form("demo"), place.other_data).identity
    assert {name for name in mine if other_data[name] != mine[name]} == {"data"}
    task = demo_task(place)
    teach(task, take(task, 2))
    assert task.identity == mine


def test_a_checkpoint_of_a_run_in_another_order_is_not_continued(place: Place64, tmp_path: Path):
    identity = config_of(place)
    earlier = {name: value for name, value in identity.items() if name != "order"}
    (tmp_path / STATE).write_text(json.dumps(asdict(Progress(earlier, step=3, position=12))))
    with pytest.raises(BadSetup, match=r"belongs to another run: order none \(now triplets\)"):
        check_identity(tmp_path, identity)


@pytest.mark.parametrize("size_px", [128])
def test_scenes_are_not_enlarged(place: Place64, size_px: int):
    config: TrainingConfig = tiny_form("demo", data__size_px=size_px)
    with pytest.raises(BadSetup, match=f"{size_px}"):
        next(make_task(place, config).batches(0))
