"""The node of ComfyUI, loaded and run as ComfyUI does it, which is not installed here."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from commands.main import app
from tests.conftest import CHECKOUT

HEIGHT, WIDTH = 48, 64
FOLDER = CHECKOUT / "integrations" / "comfyui"


@pytest.fixture(scope="module")
def node():
    """ComfyUI loads a custom node by its folder, under a name of its own, and makes it without arguments."""
    spec = importlib.util.spec_from_file_location("custom_nodes_decoupage", FOLDER / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module.NODE_CLASS_MAPPINGS["DecoupageTakeApart"]
    del sys.modules[spec.name]


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    rgb = np.asarray(Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize((WIDTH, HEIGHT)))
    rgb = rgb.copy()
    rgb[14:34, 20:44] = (220, 40, 30)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[13:35, 19:45] = True
    return rgb, mask


def asked(rgb, mask, number=1):
    image = torch.from_numpy(np.stack([rgb] * number)).float() / 255
    return {"image": image, "mask": torch.from_numpy(mask)[None].float(), "seed": 3, "steps": 0}


def test_it_has_what_comfyui_asks_a_node_for(node):
    inputs = node.INPUT_TYPES()
    assert inputs["required"]["image"] == ("IMAGE",) and inputs["required"]["mask"][0] == "MASK"
    kinds = [entry[0] for group in inputs.values() for entry in group.values()]
    assert set(kinds) <= {"IMAGE", "MASK", "INT", "STRING"}
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == len(node.OUTPUT_TOOLTIPS) and node.CATEGORY
    assert callable(getattr(node(), node.FUNCTION))


def test_its_layers_are_those_of_decompose(node, picture, tmp_path: Path):
    rgb, mask = picture
    made = getattr(node(), node.FUNCTION)(**asked(rgb, mask, 2))
    shapes = [tuple(each.shape) for each in made]
    assert shapes == [(2, HEIGHT, WIDTH, 3), (2, HEIGHT, WIDTH), (2, HEIGHT, WIDTH, 3), (2, HEIGHT, WIDTH)]
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    options = ["--mask", str(tmp_path / "mask.png"), "--out", str(tmp_path / "out"), "--seed", "3", "--device", "cpu"]
    done = CliRunner().invoke(app, ["decompose", str(tmp_path / "photo.png"), *options])
    assert done.exit_code == 0, done.output
    files = [np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) for name in ("foreground", "background")]
    foreground, inverted, background, used = ((each * 255).round().to(torch.uint8).numpy() for each in made)
    for number in range(2):
        # As ComfyUI joins them.
        joined = np.dstack([foreground[number], 255 - inverted[number]])
        assert np.array_equal(joined, files[0]) and np.array_equal(background[number], files[1])
        assert np.array_equal(used[number] > 0, np.asarray(Image.open(tmp_path / "out" / "used-mask.png")) > 0)


def test_comfyuis_bar_moves_and_its_cancel_stops_the_work(node, picture, monkeypatch):
    class Interrupted(Exception):
        pass

    moved = []

    class ProgressBar:
        def __init__(self, total):
            moved.append(f"of {total}")

        def update(self, number):
            moved.append(number)

    def interrupt():
        if len(moved) > 2:
            raise Interrupted

    for name, values in {"utils": {"ProgressBar": ProgressBar}, "model_management": {
        "throw_exception_if_processing_interrupted": interrupt
    }}.items():  # fmt: skip
        module = ModuleType(f"comfy.{name}")
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, f"comfy.{name}", module)
    monkeypatch.setitem(sys.modules, "comfy", ModuleType("comfy"))
    with pytest.raises(Interrupted):
        getattr(node(), node.FUNCTION)(**asked(*picture) | {"steps": 4})
    assert moved == ["of 4", 1, 1]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((HEIGHT, WIDTH), bool), "the mask is empty: paint the object"),
        (np.ones((64, 64), bool), r"the mask has the shape \(1, 64, 64\), and the pictures \(1, 48, 64\)"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(node, picture, mask, message):
    with pytest.raises(ValueError, match=message):
        getattr(node(), node.FUNCTION)(**asked(picture[0], mask))
