"""`decoupage evaluate` as a user runs it: defaults below the root, JSON, exit statuses."""

import json
import re
import sys

import pytest
import torch

from commands import main as cli
from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases.small import SmallFill, save_base
from evaluation.page.answer import QUESTION
from pipelines.synthetic import FakeScenes, build_dataset


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root with held-out shards and an adapter where training leaves it; the base lies beside it."""
    root = tmp_path_factory.mktemp("root")
    build_dataset(root / "held_out", FakeScenes(num_scenes=3, scenes_per_shard=3))
    torch.manual_seed(0)
    save_base(SmallFill().new(), str(root / "base"))
    config = AdapterConfig(base="small-fill", rank=4, num_latents=4, fusion_dim=32, size_px=32)
    pipe = LayerDecompositionPipeline.from_base(config, str(root / "base"))
    pipe.save_pretrained(root / "training" / "adapter" / "export")
    return root


@pytest.fixture
def evaluate(monkeypatch, capsys):
    """Runs the command in this process; gives (exit status, standard output, standard error)."""
    monkeypatch.setenv("DECOUPAGE__EVALUATION__NUM_STEPS", "1")

    def evaluate(root, *options):
        monkeypatch.setattr(sys, "argv", ["decoupage", "evaluate", "--root", str(root), *map(str, options)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    return evaluate


def test_the_adapter_of_the_root_on_the_held_out_scenes_of_the_root(root, evaluate):
    status, out, err = evaluate(root, "--base", root / "base", "--json")
    assert status == 0, err
    report = json.loads(out)
    assert report == json.loads((root / "report" / "report.json").read_text())
    assert {"adapter", "base", "telea", "given_mask"} <= set(report["methods"]) and report["num_images"] == 6
    assert report["profile"] == "demo" and any("felzenszwalb" in name for name in report["stand_ins"])
    assert report["stand_ins"]["the base `small-fill`"] == "FLUX.1-Fill"
    assert report["asked"]["adapter"]["num_steps"] == 1 and report["models"]["adapter"]["base"] == "small-fill"
    assert report["at_model_size"]["size_px"] == 32 and "adapter-base" in report["at_model_size"]["differences"]
    assert "the adapter&#39;s own are 30" in (root / "report" / "report.html").read_text()
    assert "felzenszwalb" in (root / "report" / "report.html").read_text()


def test_another_folder_and_a_summary(root, tmp_path, evaluate):
    adapter = root / "training" / "adapter" / "export"
    status, out, err = evaluate(root, "--base", root / "base", "--adapter", adapter, "--out", tmp_path / "here")
    assert status == 0, err
    assert out.startswith(f"{QUESTION}\n  Not known: ") and "the best simple method" in " ".join(out.split())
    assert "6 images of 3 scenes" in out and "adapter" in out
    assert re.search(rf"page: +{tmp_path / 'here'}/report.html\n", out)
    assert "do the maps help? On 6 images" in out
    said = " ".join(out.split())
    assert re.search(r"minus without any: .+ dB PSNR inside the mask, .+ soft IoU minus with another scene's: ", said)
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 80
    files = ["answer.png", "gallery.json", "list.json", "report.html", "report.json", "report.md", "scores.csv"]
    assert sorted(path.name for path in (tmp_path / "here").iterdir() if path.is_file()) == files


def test_without_an_adapter_it_says_where_it_looked(tmp_path, evaluate):
    status, _, err = evaluate(tmp_path)
    assert status == 2
    assert "no trained adapter in" in err and "--adapter" in err


def test_without_held_out_scenes_it_says_so(root, tmp_path, evaluate):
    adapter = root / "training" / "adapter" / "export"
    status, _, err = evaluate(tmp_path, "--adapter", adapter, "--base", root / "base")
    assert status == 2 and "held_out" in err
    assert not (tmp_path / "report").exists()
