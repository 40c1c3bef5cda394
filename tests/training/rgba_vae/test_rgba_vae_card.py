"""An RGBA VAE is judged by its own figures: by the command that trains it, and before an adapter is made with it."""

import json
from pathlib import Path

import pytest

from decoupage.faults import BadSetup
from decoupage.rgba_vae import MAX_OPAQUE_PSNR_LOSS_DB
from pipelines.synthetic import FakeScenes, build_dataset
from tests.training.adapter.adapter_runs import decoupage
from training.rgba_vae.card import FIGURES, opaque_pictures_kept, require_acceptable, write_figures
from training.rgba_vae.figures import RgbaFigures
from training.run import RunPlan, train


def export_of(folder: Path, loss_db: float) -> Path:
    """Figures of a VAE by which opaque pictures lose so much."""
    figures = RgbaFigures(8, 0.01, 34.0, 31.0 - loss_db, 31.0, loss_db, 0.0, 0.001)
    write_figures(folder, figures)
    return folder


@pytest.mark.parametrize("loss_db", [-1.0, 0.0, MAX_OPAQUE_PSNR_LOSS_DB - 0.001])
def test_a_vae_that_keeps_opaque_pictures_may_be_used(tmp_path, loss_db):
    assert opaque_pictures_kept(export_of(tmp_path, loss_db)).passed
    require_acceptable(tmp_path)


@pytest.mark.parametrize("loss_db", [MAX_OPAQUE_PSNR_LOSS_DB + 0.001, 5.0, float("nan")])
def test_one_by_which_they_lose_too_much_may_not(tmp_path, loss_db):
    found = opaque_pictures_kept(export_of(tmp_path, loss_db))
    assert not found.passed and f"lose {loss_db:.3f} dB of 31.00 dB, at most 0.3 dB are allowed" in found.sentence
    with pytest.raises(BadSetup, match=r"is not good enough: .*raise weights\.tie"):
        require_acceptable(tmp_path)


def test_figures_that_are_missing_are_no_proof_and_damaged_ones_stop(tmp_path, caplog):
    assert not opaque_pictures_kept(tmp_path).passed
    require_acceptable(tmp_path)
    assert "the loss on opaque pictures was not measured" in caplog.text
    for damaged in (b'{"alpha_mae": 0}', b"", b"\xff", b"[]", b"[" * 99_999, b'{"num_samples": NaN}'):
        (tmp_path / FIGURES).write_bytes(damaged)
        with pytest.raises(ValueError, match=r"figures\.json is damaged"):
            require_acceptable(tmp_path)


def test_the_command_says_so_and_no_adapter_is_made_with_it(tmp_path, monkeypatch, capsys):
    build_dataset(tmp_path, FakeScenes(num_scenes=8))
    few = {"schedule.num_steps": 2, "schedule.warmup_steps": 0, "batch.micro_batch": 2, "compute.loader_workers": 0}
    few |= {"data.size_px": 64, "data.validation_share": 0.3, "data.num_validation": 2, "optimiser.learning_rate": 0.5}
    sets = [f"--set={key}={json.dumps(value)}" for key, value in few.items()]
    where = ["--data", str(tmp_path), "--out", str(tmp_path / "vae"), "--device", "cpu", "--json"]
    assert decoupage(["train", "small_rgba_vae", *where, *sets], monkeypatch) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["status"] == "done" and facts["fault"].startswith("opaque pictures lose ")
    made = RunPlan("demo", tmp_path / "run", (str(tmp_path),), None, str(tmp_path / "vae/export"), device="cpu")
    with pytest.raises(BadSetup, match="is not good enough"):
        train(made)
    assert not (tmp_path / "run").exists()
