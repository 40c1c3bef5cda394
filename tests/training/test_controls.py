"""Controls: what has learned nothing must not win, and a leak must show, or figures of trained adapters mean nothing.

On the demo's scenes, shorter than in the demo. What is compared is paired, scene by scene; "above" means that the whole
interval lies above zero. At step 0 an adapter is not nothing: it gives back what it starts from, the given mask drawn
to its outline and a smooth filling, which is the rival `grabcut`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from decoupage.bases.small import WEIGHTS
from evaluation.cases import Case
from evaluation.method import Failure, Layers, Method
from evaluation.methods.base import base_method
from evaluation.methods.classical import classical_methods
from evaluation.methods.models import adapter_method
from evaluation.run import score_all
from evaluation.scores import ScoreTable
from evaluation.statistics import Clusters, Interval, difference
from evaluation.test_sets.shards import HeldOut
from pipelines.config import MasksConfig
from pipelines.factory import HELD_OUT, Factory
from pipelines.stages.store import Store
from profiles.profile import load_profile
from tests.evaluation.scenes import Direct
from training.adapter.start import starting_pipeline
from training.adapter.task import AdapterTask
from training.config import with_changes
from training.data import TripletBatch
from training.loop import export, fit, make_accelerator
from training.recipes import demo_from_scratch
from training.run import RunPlan, train
from training.task import Place

pytestmark = pytest.mark.slow

NUM_STEPS = 600
NUM_VAE_STEPS = 300
NUM_SCENES, NUM_HELD_OUT = 48, 24
MAX_IMAGES = 64
CPU = torch.device("cpu")


class ShuffledTask(AdapterTask):
    """Each sample is asked for the layers of its neighbour in the batch."""

    def batches(self, start: int) -> Iterator[TripletBatch]:
        for batch in super().batches(start):
            background, foreground = (x.roll(1, 0) for x in (batch.background_B3HW, batch.foreground_B4HW))
            yield replace(batch, background_B3HW=background, foreground_B4HW=foreground)


class LeakingTask(AdapterTask):
    """The map of nearness is the true alpha."""

    def batches(self, start: int) -> Iterator[TripletBatch]:
        for batch in super().batches(start):
            yield replace(batch, maps=batch.maps | {"depth": batch.foreground_B4HW[:, 3:].expand(-1, 3, -1, -1)})


class Leaking:
    """A method that is given the true alpha as the map of nearness."""

    def __init__(self, name: str, method: Method) -> None:
        self.name, self.gives, self._method = name, method.gives, method

    def __call__(self, case: Case) -> Layers | Failure:
        return self._method(replace(case, maps={**case.maps, "depth": case.alpha.astype(np.float32) / 255}))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's scenes, fewer of them, and an RGBA VAE."""
    if not (WEIGHTS / "transformer").is_dir():
        pytest.skip("the small base's weights are not packaged, and an untrained base shows nothing")
    folder = tmp_path_factory.mktemp("controls")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECOUPAGE__ENGINE__KIND", "serial")
        patch.setenv("DECOUPAGE__SCENES__NUM_SCENES", str(NUM_SCENES))
        patch.setenv("DECOUPAGE__HELD_OUT__NUM_SCENES", str(NUM_HELD_OUT))
        profile = load_profile("demo", str(folder))
    factory = Factory(profile, Store(str(folder)))
    factory.make_shards()
    factory.make_held_out()
    changes = {"schedule.num_steps": NUM_VAE_STEPS, "compute.loader_workers": 0}
    train(RunPlan("small_rgba_vae", folder / "rgba_vae", (str(folder),), changes=changes, device="cpu"))
    return folder


def trained(root: Path, kind: type[AdapterTask], num_steps: int) -> str:
    """Folder of an adapter that was trained for so many steps."""
    out = root / f"{kind.__name__}-{num_steps}"
    changes = {"schedule.num_steps": max(1, num_steps), "schedule.warmup_steps": 0, "output.sample_every_steps": 0}
    config = with_changes(demo_from_scratch(), changes | {"compute.loader_workers": 0})
    pipe = starting_pipeline(config, None, str(root / "rgba_vae" / "export"), CPU)
    if num_steps == 0:
        pipe.save_pretrained(out)
        return str(out)
    task, accelerator = kind(config, str(root), pipe, MasksConfig(), Place()), make_accelerator(config, "cpu")
    return str(export(task, fit(task, accelerator, out), accelerator, out))


@pytest.fixture(scope="module")
def scores(root: Path) -> ScoreTable:
    """All of them on one list, in one step from noise, as the demo is judged."""

    def adapter(name: str, kind: type[AdapterTask], num_steps: int) -> Method:
        return adapter_method(trained(root, kind, num_steps), None, 1, 0, name)

    methods = [
        *(method for method in classical_methods() if method.name in ("given_mask", "grabcut")),
        base_method("small-fill", None, 0),
        adapter("adapter", AdapterTask, NUM_STEPS),
        adapter("shuffled", ShuffledTask, NUM_STEPS),
        adapter("untrained", AdapterTask, 0),
        Leaking("leaking", adapter("leaking", LeakingTask, NUM_STEPS)),
    ]
    table = score_all(HeldOut(str(root / HELD_OUT), MAX_IMAGES).cases(), [Direct(method) for method in methods])
    for name in table.methods:
        mask, iou = (table.column(name, *metric).mean() for metric in (IN_MASK, SOFT_IOU))
        print(f"{name:12s} psnr_mask {mask:6.2f}  soft_iou {iou:.3f}")
    return table


IN_MASK, SOFT_IOU = ("background", "psnr_mask"), ("foreground", "soft_iou")


def gain(table: ScoreTable, first: str, second: str, metric: tuple[str, str]) -> Interval:
    """The first method's mean minus the second's on these very scenes, whose photographs are too few for others."""
    clusters = Clusters(table.scenes, table.scenes)
    found = difference(table.column(first, *metric), table.column(second, *metric), clusters)
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "rival"), [("shuffled", "given_mask"), ("untrained", "grabcut")])
def test_what_has_not_learned_the_task_wins_nothing(scores: ScoreTable, name: str, rival: str):
    assert gain(scores, name, "base", IN_MASK).verdict() != "better"
    assert gain(scores, name, rival, SOFT_IOU).verdict() == "worse"


NOT_YET = pytest.mark.xfail(
    strict=True, reason="inside the mask the filling that it starts from is not beaten by a short training (RESULTS.md)"
)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("shuffled", IN_MASK),
        ("shuffled", SOFT_IOU),
        pytest.param("untrained", IN_MASK, marks=NOT_YET),
        ("untrained", SOFT_IOU),
    ],
)
def test_what_has_learned_it_is_above_what_has_not(scores: ScoreTable, name: str, metric: tuple[str, str]):
    assert gain(scores, "adapter", name, metric).verdict() == "better"


def test_a_leak_shows_at_once(scores: ScoreTable):
    found = gain(scores, "leaking", "adapter", SOFT_IOU)
    assert found.low is not None and found.low > 0.02
