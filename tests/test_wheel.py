"""The wheel: what is in it, and that it works alone, in an environment of its own and outside the checkout."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from commands.main import COMMANDS
from decoupage.requirements import install_line

CHECKOUT = Path(__file__).parent.parent
PACKAGES = {"assets_defs", "commands", "decoupage", "evaluation", "pipelines", "profiles", "training"}
MAKE_ADAPTER = """
from decoupage import AdapterConfig, LayerDecompositionPipeline
config = AdapterConfig(base="small-fill", rank=4, num_latents=4, fusion_dim=32, size_px=64)
LayerDecompositionPipeline.from_base(config).save_pretrained("adapter")
"""
LOOK_FOR_THE_FACTORY = """
from importlib.util import find_spec
print(*[name for name in ("dagster", "pandas", "pyarrow", "webdataset", "accelerate") if find_spec(name)])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("decoupage_layers-*.whl")
    return path


def test_the_top_level_holds_packages_only(wheel):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_every_file_of_the_packages_is_in_it(wheel):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES, "configs"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = {name for name in listed.stdout.splitlines() if (CHECKOUT / name).is_file()}
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == {f"profiles/{name}" if name.startswith("configs/") else name for name in files}
    assert inside >= {
        "decoupage/bases/small_fill/transformer/diffusion_pytorch_model.safetensors",
        "profiles/configs/demo.toml",
        "profiles/configs/takedowns.txt",
    }
    assert {name.rpartition(".")[2] for name in inside} >= {"csv", "css", "jinja", "js", "py", "txt"}


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with an environment in `env`, into which nothing but the wheel was asked for."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=shutil.which("uv") is None)
    install(folder, wheel)
    return folder


def install(folder, what):
    """Install into the environment of a folder, by the versions of the checkout."""
    uv, python = shutil.which("uv"), folder / "env/bin/python"
    pip = [python, "-m", "pip", "install"]
    if uv:  # It takes from its cache what the tests' own environment was made of.
        pip = [uv, "pip", "install", "--compile-bytecode", "--python", python]
    run(folder, *pip, "--quiet", "--constraint", CHECKOUT / "constraints.txt", what)


def run(folder, *command, status=0):
    """Standard output and error of a command that knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"OMP_NUM_THREADS": "1", "COLUMNS": "120", "TERMINAL_WIDTH": "120"}
    words = list(map(str, command))
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
def test_the_model_part_brings_nothing_of_the_factory(installed):
    shown, _ = run(installed, "env/bin/python", "-c", LOOK_FOR_THE_FACTORY)
    assert shown.split() == ["accelerate"]  # Peft needs it, too: the search finds what is there.


@pytest.mark.slow
def test_the_model_part_lists_all_commands_and_takes_a_picture_apart(installed):
    listed, _ = run(installed, "env/bin/decoupage", "--help")
    assert [name for name in (*COMMANDS, "doctor") if f" {name} " not in listed] == []
    run(installed, "env/bin/python", "-c", MAKE_ADAPTER)
    Image.linear_gradient("L").convert("RGB").resize((40, 32)).save(installed / "photo.png")
    mask = Image.new("L", (40, 32))
    mask.paste(255, (8, 8, 28, 24))
    mask.save(installed / "mask.png")
    options = ["--mask", "mask.png", "--model", "adapter", "--out", "layers", "--steps", "2", "--psd", "--json"]
    shown, _ = run(installed, "env/bin/decoupage", "decompose", "photo.png", *options)
    assert json.loads(shown)["steps"] == 2 and (installed / "layers" / "layers.psd").is_file()
    for name, mode in (("background", "RGB"), ("foreground", "RGBA")):
        picture = Image.open(installed / "layers" / f"{name}.png")
        assert (picture.size, picture.mode) == ((40, 32), mode)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("scenes", "make"), ("train", "list"), ("doctor",)], ids=" ".join)
def test_a_command_of_the_factory_says_what_to_install(installed, words):
    _, said = run(installed, "env/bin/decoupage", *words, status=2)
    assert len(said.splitlines()) == 1 and install_line("factory") in said


@pytest.mark.slow
def test_the_packaged_adapter_takes_a_picture_apart_without_a_mask(installed):
    Image.linear_gradient("L").convert("RGB").resize((40, 32)).save(installed / "photo.png")
    _, said = run(installed, "env/bin/decoupage", "decompose", "photo.png", "--box", "8,8,28,24", "--out", "by_box")
    assert "small, packaged" in said and Image.open(installed / "by_box/foreground.png").mode == "RGBA"


@pytest.mark.slow
def test_the_demos_data_are_made_from_the_wheel_with_the_factory(installed, wheel):
    """The last test of this environment: it is not the model part alone any more."""
    install(installed, f"{wheel}[factory]")
    run(installed, "env/bin/decoupage", "scenes", "make", "--profile", "demo", "--root", "data", "--scenes", "8")
    found = json.loads(run(installed, "env/bin/decoupage", "shards", "verify", "data/shards", "--json")[0])
    assert found["ok"] and found["num_scenes"] == 8 and not found["faults"]
