"""The stage over real weights in small: records with provenance, nothing painted twice, whatever happens."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_rgba
from pipelines.foregrounds.generate import RawPictures
from pipelines.foregrounds.generated_stage import GeneratedForegrounds
from pipelines.foregrounds.layerdiffuse import generator as generator_module
from pipelines.foregrounds.layerdiffuse.sdxl import SdxlPainter
from pipelines.stages.store import Store
from tests.conftest import CHECKOUT
from tests.pipelines.foregrounds.layerdiffuse.run_stage_of import VEIL, run
from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import config


@pytest.fixture
def painted(monkeypatch) -> list[list[str]]:
    """What was painted, batch by batch."""
    batches, paint = [], SdxlPainter.paint

    def noting(self, texts, seeds):
        batches.append(list(texts))
        return paint(self, texts, seeds)

    monkeypatch.setattr(SdxlPainter, "paint", noting)
    return batches


def _rows(root: Path) -> list[dict]:
    files = sorted((root / "foregrounds" / "generated").glob("*.parquet"))
    return [row for path in files for row in pq.read_table(io.BytesIO(path.read_bytes())).to_pylist()]


def _kept(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("sources/layerdiffuse/*/*.webp")}


def _shards(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "foregrounds" / "generated").glob("*.tar")}


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_prompts_become_records_with_their_provenance(weights, tmp_path, family):
    report = run(weights, tmp_path, family)
    assert (report.num_items, report.drops) == (10, [])
    name = {"sdxl": "layerdiffuse", "flux": "layerdiffuse-flux"}[family]
    rows = _rows(tmp_path)
    assert len({row["id"] for row in rows}) == 10
    for row in rows:
        assert (row["source"], row["kind"], row["completeness"]) == (name, "generated", "complete")
        assert row["origin"] == f"{name}:{row['category']}/{row['prompt']}/0"
        assert row["licence"] == {"sdxl": "creativeml-openrail-m", "flux": "flux-1-dev-non-commercial"}[family]
        assert row["attribution"].startswith("LayerDiffuse by ") and row["attribution"].endswith(f", on {family}")
        assert str(weights) not in str(row)
    assert len(list(tmp_path.glob(f"sources/{name}/*/*.webp"))) == 10


def test_weights_are_loaded_once_and_batches_end_with_their_shard(weights, tmp_path, painted, monkeypatch):
    loads, load = [], generator_module.LayerDiffuseGenerator.__dict__["_painter"].func

    def noting(self):
        loads.append(1)
        return load(self)

    monkeypatch.setattr(generator_module.LayerDiffuseGenerator.__dict__["_painter"], "func", noting)
    report = run(weights, tmp_path, num_shards=4)
    assert (report.num_made, len(loads)) == (4, 1)
    assert [len(batch) for batch in painted] == [1, 4, 4, 1]


def test_a_run_without_anything_to_paint_needs_no_weights(weights, tmp_path, painted):
    shutil.copytree(weights, tmp_path / "weights")
    run(tmp_path / "weights", tmp_path / "root")
    before = _kept(tmp_path / "root")
    shutil.rmtree(tmp_path / "weights")
    painted.clear()
    assert run(tmp_path / "weights", tmp_path / "root").num_made == 0
    # Other gates cut out anew, and repaint nothing.
    shutil.rmtree(tmp_path / "root" / "foregrounds")
    report = run(tmp_path / "weights", tmp_path / "root", gates=VEIL.model_copy(update={"min_side_px": 65}))
    assert report.drops_by_reason == {"too_small": 10}
    assert painted == [] and _kept(tmp_path / "root") == before
    # More pictures want the weights again, and say so before anything changes.
    with pytest.raises(BadSetup, match=r"layerdiffuse\.base"):
        run(tmp_path / "weights", tmp_path / "root", gates=VEIL, images_per_prompt=2)


def test_missing_weights_leave_no_claim_behind(tmp_path):
    with pytest.raises(BadSetup, match=r"layerdiffuse\.adapter"):
        run(tmp_path / "nothing", tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_pictures_of_other_weights_are_not_mixed(weights, tmp_path):
    run(weights, tmp_path / "root")
    shutil.copytree(weights, tmp_path / "weights")
    decoder = tmp_path / "weights" / "layerdiffuse" / "ld_diffusers_sdxl_vae_transparent_decoder.safetensors"
    data = bytearray(decoder.read_bytes())
    data[-1] ^= 1
    decoder.write_bytes(data)
    with pytest.raises(BadSetup, match=r"other weights \(ld_diffusers_sdxl_vae_transparent_decoder\.safetensors"):
        run(tmp_path / "weights", tmp_path / "root", images_per_prompt=2)


@pytest.mark.parametrize(
    ("text", "message"), [("{", r"weights\.json is not JSON"), ("[]", r"weights\.json is damaged")]
)
def test_a_damaged_list_of_weights_is_named(weights, tmp_path, text, message):
    run(weights, tmp_path / "root")
    [path] = (tmp_path / "root").glob("sources/layerdiffuse/*/weights.json")
    path.write_text(text)
    with pytest.raises(BadSetup, match=message):
        run(weights, tmp_path / "root", images_per_prompt=2)


def test_a_kept_picture_is_what_was_painted(weights, tmp_path):
    store = Store(str(tmp_path))
    stage = GeneratedForegrounds(config(weights), VEIL, store=store)
    request = stage.items("00000")[0][1]
    pictures: RawPictures = stage.task.pictures
    assert pictures.read(request) is None
    stage.task.many([request])
    picture = stage.task.generator.generate(request.prompt, request.seed)
    assert np.array_equal(pictures.read(request), picture)
    assert not (picture[..., 3] == 255).all()


def test_a_damaged_picture_is_painted_again(weights, tmp_path, painted):
    run(weights, tmp_path)
    before = _kept(tmp_path)
    path = sorted(tmp_path.glob("sources/layerdiffuse/*/*.webp"))[3]
    path.write_bytes(path.read_bytes()[:200])
    shutil.rmtree(tmp_path / "foregrounds")
    painted.clear()
    run(weights, tmp_path)
    assert [len(batch) for batch in painted] == [1]
    assert _kept(tmp_path).keys() == before.keys()
    assert decode_rgba(path.read_bytes()).shape == (64, 64, 4)


def test_a_bad_picture_is_quarantined_and_the_others_go_on(weights, tmp_path, monkeypatch):
    paint = SdxlPainter.paint

    def overflowing(self, texts, seeds):
        pictures = paint(self, texts, seeds)
        return [BadItem("not_finite", "overflow") if "dog" in t else p for t, p in zip(texts, pictures, strict=True)]

    monkeypatch.setattr(SdxlPainter, "paint", overflowing)
    report = run(weights, tmp_path)
    assert (report.num_items, report.drops_by_reason) == (9, {"not_finite": 1})
    lines = (tmp_path / "quarantine" / "foregrounds-generated.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["id"] == "layerdiffuse-animal-dog-0"
    assert len(_kept(tmp_path)) == 9


def _start(weights: Path, root: Path, num_steps: int) -> subprocess.Popen:
    module = "tests.pipelines.foregrounds.layerdiffuse.run_stage_of"
    command = [sys.executable, "-m", module, str(weights), str(root), str(num_steps)]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=CHECKOUT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.faults
def test_a_killed_run_repeats_no_finished_picture(weights, tmp_path, painted):
    steps = 20  # Long enough to be killed between the first picture and the last.
    child = _start(weights, tmp_path / "broken", steps)
    try:
        deadline = time.monotonic() + 300
        while len(_kept(tmp_path / "broken")) < 4:
            assert child.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    kept = _kept(tmp_path / "broken")
    assert 4 <= len(kept) < 20
    run(weights, tmp_path / "broken", images_per_prompt=2, batch_size=2, num_steps=steps)
    assert sum(map(len, painted)) == 20 - len(kept)
    resumed = _kept(tmp_path / "broken")
    assert kept.items() <= resumed.items() and len(resumed) == 20
    assert not list((tmp_path / "broken").rglob(".*.tmp"))
    run(weights, tmp_path / "whole", images_per_prompt=2, batch_size=2, num_steps=steps)
    assert resumed.keys() == _kept(tmp_path / "whole").keys()
    for name, data in _kept(tmp_path / "whole").items():
        # A resumed run fills its batches otherwise, which may change the last bits of floats.
        assert np.abs(decode_rgba(data).astype(int) - decode_rgba(resumed[name]).astype(int)).max() <= 1
