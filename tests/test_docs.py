"""The code in the documentation runs as it stands, but for the paths that a reader fills in."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases.tiny import TinyFill, save_base
from pipelines.engine import SerialEngine
from tests.fixtures import FakeScenes, build_dataset
from training.recipes import ALL

DOCS = Path(__file__).parents[1] / "docs"


def code(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def test_the_data_page(tmp_path, monkeypatch, capsys):
    build_dataset(str(tmp_path / "data" / "demo"), FakeScenes(num_scenes=4, scenes_per_shard=1), SerialEngine())
    monkeypatch.chdir(tmp_path)
    blocks = code("data.md")
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("00000000 0 (") and "background.jpg" in shown[1]


def test_the_model_page(tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_base(TinyFill().new(), str(tmp_path / "base"))
    config = AdapterConfig(base="tiny-fill", rank=4, num_latents=4, fusion_dim=32)
    LayerDecompositionPipeline.from_base(config, str(tmp_path / "base")).save_pretrained(tmp_path / "adapter")
    Image.new("RGB", (32, 24), (90, 120, 30)).save(tmp_path / "photo.jpg")
    mask = Image.new("L", (32, 24))
    mask.paste(255, (8, 8, 20, 20))
    mask.save(tmp_path / "mask.png")
    (block,) = code("model.md")
    filled = block.replace('"path/to/adapter", dtype="auto"', '"adapter", base="base"').replace('"cuda"', '"cpu"')
    assert filled != block
    monkeypatch.chdir(tmp_path)
    exec(filled.replace("num_inference_steps=30", "num_inference_steps=1"), {})
    assert Image.open("foreground.png").mode == "RGBA" and Image.open("background.png").size == (32, 24)


def test_the_training_page(capsys):
    (block,) = code("training.md")
    exec(block, {})
    assert capsys.readouterr().out.splitlines() == [
        "schedule.num_steps: 7200 -> 1000",
        "adapter.rank: 256 -> 128",
    ]


def test_the_training_page_names_every_recipe():
    page = (DOCS / "training.md").read_text()
    assert not [name for name in ALL if f"`{name}`" not in page]


def test_the_evaluation_page(tmp_path, monkeypatch, capsys):
    build_dataset(str(tmp_path / "data" / "demo" / "held_out"), FakeScenes(num_scenes=3, scenes_per_shard=3))
    monkeypatch.chdir(tmp_path)
    (block,) = code("evaluation.md")
    exec(block, {})
    assert re.fullmatch(r"[\d.]+ dB, [\d.]+ to [\d.]+, 6 images", capsys.readouterr().out.strip())
    assert (tmp_path / "report" / "report.html").exists()


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (DOCS / page).read_text()):
        assert (DOCS / target).exists(), target
