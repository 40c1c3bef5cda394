"""Training from a published adapter: it begins as that adapter, and what does not fit is refused before it begins."""

import shutil
from pathlib import Path

import pytest
import torch

from decoupage.faults import BadSetup
from decoupage.rgba_vae import widen_vae
from pipelines.config import MasksConfig
from tests.training.adapter.adapter_runs import (
    RANK,
    SMALL,
    Place64,
    lay_out,
    loss_of,
    make_task,
    pipeline_of,
    take,
    teach,
    tiny_form,
)
from training.adapter.start import starting_pipeline
from training.adapter.task import AdapterTask
from training.config import TrainingConfig
from training.licences import stated_licences
from training.run import RunPlan, run_sources, train
from training.task import Place

CPU = torch.device("cpu")
BASES = ["small-fill", "flux-fill"]
RECIPES = dict(zip(BASES, ["demo", "paper"], strict=True))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place64:
    return lay_out(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def published(place: Place64, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Base -> a published adapter that three steps were trained."""
    folders = {}
    for base, recipe in RECIPES.items():
        task = make_task(place, tiny_form(recipe))
        teach(task, take(task, 3))
        folders[base] = tmp_path_factory.mktemp("published") / base
        task.export(folders[base])
    return folders


def task_from(place: Place64, config: TrainingConfig, start: Path | None) -> AdapterTask:
    base, folder = config.adapter.base, None if start is None else str(start)
    pipe = starting_pipeline(config, place.bases[base], place.rgba_vaes[base], CPU, folder)
    return AdapterTask(config, place.data, pipe, MasksConfig(), Place(), start=folder)


@pytest.mark.parametrize("base", BASES)
def test_it_begins_as_the_published_adapter(place: Place64, published: dict[str, Path], base: str, tmp_path: Path):
    config = tiny_form(RECIPES[base], objective__modality_dropout=0.0, objective__no_maps_share=0.0)
    new, begun = task_from(place, config, None), task_from(place, config, published[base])
    (batch,) = take(new, 1)
    begun.export(tmp_path / "again")
    again = task_from(place, config, tmp_path / "again")
    first, second, third = (float(loss_of(task, batch).total.detach()) for task in (new, begun, again))
    assert second == pytest.approx(third, rel=1e-4) and abs(first - second) > 1e-3
    trained = {name for name, value in begun.modules["adapter"].named_parameters() if value.requires_grad}
    assert trained == {name for name, value in new.modules["adapter"].named_parameters() if value.requires_grad}
    losses = teach(begun, [batch] * 6)
    assert losses[-1] < losses[0]
    assert {**new.identity, "start": begun.identity["start"]} == begun.identity


def test_what_does_not_fit_is_refused_with_what_differs(place: Place64, published: dict[str, Path], tmp_path: Path):
    start = published["small-fill"]
    for changes, message in (
        ({"adapter__rank": 3}, "adapter.rank must be 2"),
        ({"adapter__maps": ("edges",)}, "adapter.maps must be"),
        ({"adapter__mode": "batch"}, "adapter.mode must be joint"),
    ):
        with pytest.raises(BadSetup, match=f"cannot start from .*{message}"):
            task_from(place, tiny_form("demo", **changes), start)
    with pytest.raises(BadSetup, match=r"adapter\.base must be small-fill"):
        task_from(place, tiny_form("paper"), start)
    other = widen_vae(pipeline_of(make_task(place, tiny_form("demo"))).vae)
    torch.nn.init.ones_(other.encoder.conv_in.weight)
    other.save_pretrained(tmp_path / "vae")
    config = tiny_form("demo")
    with pytest.raises(BadSetup, match="RGBA VAE whose encoder differs"):
        starting_pipeline(config, place.bases["small-fill"], str(tmp_path / "vae"), CPU, str(start))
    damaged = shutil.copytree(start, tmp_path / "damaged")
    (damaged / "pytorch_lora_weights.safetensors").write_bytes(b"")
    with pytest.raises(BadSetup, match="cannot start from"):
        task_from(place, config, damaged)


def test_a_run_states_what_it_started_from(place: Place64, published: dict[str, Path], tmp_path: Path):
    few = SMALL | RANK | {"schedule.num_steps": 1, "data.num_validation": 2}
    plan = RunPlan(
        *("demo", tmp_path / "run", (place.data,), place.bases["small-fill"], place.rgba_vaes["small-fill"]),
        changes=few,
        device="cpu",
        start=str(published["small-fill"]),
    )
    stated = stated_licences(published["small-fill"])
    assert stated is not None and stated.base == ("apache-2.0",)
    assert set(stated.data) <= set(run_sources(plan).licences.data)
    assert train(plan).status == "done"
    with pytest.raises(BadSetup, match="there is no adapter to start from"):
        train(
            RunPlan("demo", tmp_path / "other", (place.data,), rgba_vae="nowhere", start="nowhere/at/all", device="cpu")
        )
