"""`decoupage decompose` on a saved adapter of the tiny base, as a user runs it: files, sizes, layers that open."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases.tiny import TinyFill, save_base


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_base(TinyFill().new(), str(root / "base"))
    config = AdapterConfig(base="tiny-fill", rank=4, num_latents=4, fusion_dim=32)
    LayerDecompositionPipeline.from_base(config, str(root / "base")).save_pretrained(root / "adapter")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (72, 100, 3), np.uint8)).save(root / "photo.png")
    for name, box in (("front", (10, 10, 40, 50)), ("back", (50, 20, 90, 60))):
        mask = Image.new("L", (100, 72))
        mask.paste(255, box)
        mask.save(root / f"{name}.png")
    return root


def decompose(model, *options):
    command = [
        sys.executable,
        "-m",
        "commands.main",
        "decompose",
        str(model / "photo.png"),
        "--model",
        str(model / "adapter"),
    ]
    command += ["--base", str(model / "base"), "--steps", "2", *map(str, options)]
    env = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_two_objects_become_two_layers_a_background_and_layered_files(model, tmp_path):
    masks = ["--mask", model / "front.png", "--mask", model / "back.png"]
    done = decompose(model, *masks, "--out", tmp_path, "--psd", "--ora", "--json")
    assert done.returncode == 0, done.stderr
    modes = {"background": "RGB", "foreground-1": "RGBA", "foreground-2": "RGBA", "recomposition": "RGB"}
    for name, mode in modes.items():
        picture = Image.open(tmp_path / f"{name}.png")
        assert (picture.size, picture.mode) == ((100, 72), mode)
    from psd_tools import PSDImage

    psd = PSDImage.open(next(tmp_path.glob("*.psd")))
    assert psd.size == (100, 72) and len(list(psd)) == 3
    assert json.loads((tmp_path / "layers.json").read_text())


def test_an_empty_mask_is_wrong_use(model, tmp_path):
    Image.new("L", (100, 72)).save(tmp_path / "empty.png")
    done = decompose(model, "--mask", tmp_path / "empty.png", "--out", tmp_path / "out")
    assert done.returncode == 2 and "empty" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "layers.json").exists()
