"""`decoupage decompose` on a saved adapter of the small base, as a user runs it: files, sizes, layers that open."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases.small import SmallFill, save_base
from decoupage.images.codecs import decode_rgb
from decoupage.maps.choose import make_makers
from decoupage.maps.config import MapsConfig
from tests.decoupage.images.made import wide_profile
from tests.warm.python import PYTHON


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_base(SmallFill().new(), str(root / "base"))
    makers = {maker.name: maker.recipe for maker in make_makers(MapsConfig())}
    config = AdapterConfig(base="small-fill", rank=4, num_latents=4, fusion_dim=32, size_px=64, map_makers=makers)
    pipe = LayerDecompositionPipeline.from_base(config, str(root / "base"))
    torch.nn.init.normal_(pipe.transformer.x_embedder.added.weight)  # Now it listens to its maps.
    pipe.save_pretrained(root / "adapter")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (72, 100, 3), np.uint8)).save(root / "photo.png")
    for name, box in (("front", (10, 10, 40, 50)), ("back", (50, 20, 90, 60))):
        mask = Image.new("L", (100, 72))
        mask.paste(255, box)
        mask.save(root / f"{name}.png")
    return root


def decompose(model, *options, image="photo.png"):
    command = [
        PYTHON,
        "-m",
        "commands.main",
        "decompose",
        str(model / image),
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
    # Weights at random see the objects everywhere, so the input lies in front of both.
    names = ["background", "back", "in front of back", "front", "in front of front"]
    assert psd.size == (100, 72) and [layer.name for layer in psd] == names
    assert json.loads((tmp_path / "layers.json").read_text())


def test_an_empty_mask_is_wrong_use(model, tmp_path):
    Image.new("L", (100, 72)).save(tmp_path / "empty.png")
    done = decompose(model, "--mask", tmp_path / "empty.png", "--out", tmp_path / "out")
    assert done.returncode == 2 and "empty" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "layers.json").exists()


def test_maps_are_made_as_the_adapter_says_or_given_or_left_out(model, tmp_path):
    mask = ["--mask", model / "front.png"]
    made, given, none = (tmp_path / name for name in ("made", "given", "none"))
    done = decompose(model, *mask, "--out", made, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["maps"] == {
        "edges": "canny",
        "segmentation": "felzenszwalb (stand-in for SegFormer)",
        "depth": "dark_channel (stand-in for Depth-Anything-V2)",
    }
    (tmp_path / "maps").mkdir()
    photo = decode_rgb((model / "photo.png").read_bytes())
    for maker in make_makers(MapsConfig()):
        (tmp_path / "maps" / f"{maker.name}.png").write_bytes(maker.pngs([photo])[0])
    done = decompose(model, *mask, "--out", given, "--maps", tmp_path / "maps", "--json")
    assert set(json.loads(done.stdout)["maps"].values()) == {"given"}, done.stderr
    done = decompose(model, *mask, "--out", none, "--maps", "none")
    assert "maps: edges by none, segmentation by none, depth by none" in done.stdout
    pictures = [(folder / "background.png").read_bytes() for folder in (made, given, none)]
    assert pictures[0] == pictures[1] != pictures[2]
    # The pipeline in Python gives the same bytes.
    pipe = LayerDecompositionPipeline.from_pretrained(model / "adapter", str(model / "base"))
    out = pipe(
        Image.open(model / "photo.png"),
        mask=Image.open(model / "front.png"),
        num_inference_steps=2,
        generator=torch.Generator("cpu").manual_seed(0),
    )
    for name, layer in (("background", out.background[0]), ("foreground", out.foreground[0])):
        assert np.array_equal(np.asarray(layer), np.asarray(Image.open(made / f"{name}.png"))), name


def test_a_folder_without_maps_is_wrong_use(model, tmp_path):
    done = decompose(model, "--mask", model / "front.png", "--out", tmp_path / "out", "--maps", tmp_path)
    assert done.returncode == 2 and "--maps must be auto, none or a folder with any of edges.png" in done.stderr
    (tmp_path / "depth.png").write_bytes(b"no picture")
    done = decompose(model, "--mask", model / "front.png", "--out", tmp_path / "out", "--maps", tmp_path)
    assert done.returncode == 2 and "depth.png: not a readable picture" in done.stderr


@pytest.mark.slow
def test_an_adapter_with_a_value_that_is_not_finite_makes_no_picture(model, tmp_path):
    adapter = tmp_path / "adapter"
    shutil.copytree(model / "adapter", adapter)
    name = "pytorch_lora_weights.safetensors"
    tensors = load_file(adapter / name)
    first = min(key for key in tensors if "lora_B" in key)
    tensors[first][0, 0] = float("nan")
    with safe_open(adapter / name, framework="pt") as file:
        save_file(tensors, adapter / name, metadata=file.metadata())
    manifest = json.loads((adapter / "adapter.json").read_text())
    manifest["files"][name] = hashlib.sha256((adapter / name).read_bytes()).hexdigest()
    (adapter / "adapter.json").write_text(json.dumps(manifest))
    done = decompose(model, "--mask", model / "front.png", "--out", tmp_path / "out", "--model", adapter)
    assert done.returncode == 2 and f"{name}: {first} holds values that are not finite" in done.stderr
    assert "Traceback" not in done.stderr and list((tmp_path / "out").iterdir()) == []


def test_a_wide_colour_photograph_keeps_its_numbers_and_its_profile(model, tmp_path):
    photo = Image.open(model / "photo.png")
    photo.save(tmp_path / "wide.png", icc_profile=wide_profile())
    mask = ["--mask", model / "front.png"]
    done = decompose(model, *mask, "--out", tmp_path / "out", "--ora", image=tmp_path / "wide.png")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    background = Image.open(tmp_path / "out" / "background.png")
    assert background.info["icc_profile"] == wide_profile()
    # Away from the mask, grown by the seam, nothing has moved.
    assert np.array_equal(np.asarray(background)[:, 60:], np.asarray(photo)[:, 60:])
