"""What a training run reads decides whether it has something to do."""

from dataclasses import replace
from pathlib import Path

from assets_defs.training_unchanged import question_of
from pipelines.synthetic import FakeScenes, build_dataset
from training.recipes import find_recipe
from training.run import RunPlan


def test_the_adapter_that_a_run_starts_from_is_read_again(tmp_path: Path):
    data = build_dataset(tmp_path / "data", FakeScenes(num_scenes=2)).root
    for name in ("vae", "start"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("1")
    plan = RunPlan("demo", tmp_path / "run", (data,), rgba_vae=str(tmp_path / "vae"))
    started = replace(plan, start=str(tmp_path / "start"))
    first = question_of(started, find_recipe("demo"))
    assert first == question_of(started, find_recipe("demo")) is not None
    assert question_of(plan, find_recipe("demo")) != first
    (tmp_path / "start" / "weights").write_text("2")
    assert question_of(started, find_recipe("demo")) != first
