"""What is judged is what a user gets: evaluation, gate, the pipeline in Python and `decompose` give the same bytes."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases.small import SmallFill, save_base
from decoupage.images.codecs import decode_rgb, decode_rgba, encode_mask, encode_png
from decoupage.maps.choose import make_makers
from decoupage.maps.config import MapsConfig
from evaluation.config import EvaluationConfig
from evaluation.gate.rescore import rescore
from evaluation.method import SAME_AREA
from evaluation.methods.models import adapter_recipe
from evaluation.methods.noise import noise_seed
from evaluation.records.room import read_method
from evaluation.run import evaluate
from evaluation.saved_scores import files_of
from evaluation.test_sets.shards import HeldOut
from pipelines.shards.reader import read_scenes
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, build_dataset
from tests.evaluation.methods.made_up import Listed
from tests.warm.python import PYTHON

CONFIG = EvaluationConfig(bootstrap_draws=100)
PICTURE_PX, MODEL_PX, NUM_STEPS = 88, 48, 2
"""Pictures are larger than the model works at, and of no multiple that it takes."""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Held-out scenes, a base, and an adapter that listens to its maps and samples in two steps of its own."""
    root = tmp_path_factory.mktemp("agreement")
    build_dataset(root / "held_out", FakeScenes(num_scenes=2, scenes_per_shard=2, size_px=PICTURE_PX))
    torch.manual_seed(0)
    save_base(SmallFill().new(), str(root / "base"))
    makers = {maker.name: maker.recipe for maker in make_makers(MapsConfig())}
    sizes = {"size_px": MODEL_PX, "num_inference_steps": NUM_STEPS}
    config = AdapterConfig(base="small-fill", rank=4, num_latents=4, fusion_dim=32, map_makers=makers, **sizes)
    pipe = LayerDecompositionPipeline.from_base(config, str(root / "base"))
    torch.nn.init.normal_(pipe.transformer.x_embedder.added.weight, std=0.1)
    pipe.save_pretrained(root / "adapter")
    return root


def in_python(root, case, paste_back=False):
    """The layers of a case by the pipeline alone."""
    pipe = LayerDecompositionPipeline.from_pretrained(root / "adapter", str(root / "base"))
    out = pipe(
        case.composite,
        mask=case.mask,
        maps=case.maps,
        generator=torch.Generator("cpu").manual_seed(noise_seed(CONFIG.seed, case)),
        paste_back=paste_back,
        output_type="np",
    )
    return out.background[0], out.foreground[0]


def by_command(root, case, folder, maps):
    """The layers of a case by `decoupage decompose`, from files."""
    (folder / "picture.png").write_bytes(encode_png(case.composite))
    (folder / "mask.png").write_bytes(encode_mask(case.mask))
    words = ["decompose", folder / "picture.png", "--mask", folder / "mask.png", "--out", folder / "out"]
    words += ["--model", root / "adapter", "--base", root / "base", "--seed", noise_seed(CONFIG.seed, case)]
    words += ["--no-paste-back", "--maps", maps]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    command = [PYTHON, "-m", "commands.main", *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = [(folder / "out" / name).read_bytes() for name in ("background.png", "foreground.png")]
    return decode_rgb(files[0]), decode_rgba(files[1])


def same(layers, *others):
    for other in others:
        assert all(np.array_equal(a, b) for a, b in zip(layers, other, strict=True))


def test_a_held_out_scene_with_its_stored_maps(root, tmp_path):
    test_set = HeldOut(str(root / "held_out"))
    case = list(test_set.cases())[1]
    recipe = adapter_recipe(str(root / "adapter"), str(root / "base"), CONFIG)
    report = evaluate(test_set, [recipe], CONFIG, str(tmp_path / "report"), root=str(tmp_path))
    judged = rescore(root / "adapter", test_set, CONFIG, str(root / "base"), Store(str(tmp_path)))

    room = Store(str(tmp_path / "records" / "held_out"))
    evaluated, champion = (read_method(room, name).answer(case) for name in ("adapter", "champion"))
    (tmp_path / "maps").mkdir()
    members = dict(read_scenes(str(root / "held_out")))[case.key]
    for name in ("edges", "segmentation", "depth"):
        (tmp_path / "maps" / f"{name}.png").write_bytes(members[f"{name}.png"])
    same(
        (evaluated.background, evaluated.foreground),
        (champion.background, champion.foreground),
        in_python(root, case),
        by_command(root, case, tmp_path, tmp_path / "maps"),
    )
    pasted = in_python(root, case, paste_back=True)[1]
    assert np.array_equal(evaluated.foreground, pasted), "the foreground is judged as it is used"
    assert evaluated.background.shape == (PICTURE_PX, PICTURE_PX, 3), "layers come back at the picture's size"
    assert judged["scores.csv"] == files_of(Store(str(tmp_path)), "report", "adapter")["scores.csv"]
    assert report.values["asked"]["adapter"] == {
        "picture": "at its own size", "works_at_px": MODEL_PX, "num_steps": NUM_STEPS, "seed": CONFIG.seed,
        "guidance": 1.0, "resolution": SAME_AREA,
    }  # fmt: skip
    assert report.values["at_model_size"]["size_px"] == MODEL_PX
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == report.values


def test_a_picture_without_maps_gets_those_that_the_adapter_names(root, tmp_path):
    (first, *_) = HeldOut(str(root / "held_out")).cases()
    case = replace(first, maps=None)
    recipe = adapter_recipe(str(root / "adapter"), str(root / "base"), CONFIG)
    evaluate(Listed([case]), [recipe], CONFIG, str(tmp_path / "report"), root=str(tmp_path))
    found = read_method(Store(str(tmp_path / "records" / "made_up")), "adapter").answer(case)
    same((found.background, found.foreground), in_python(root, case), by_command(root, case, tmp_path, "auto"))
    bare = in_python(root, replace(first, maps={name: np.zeros_like(first.maps[name]) for name in first.maps}))
    assert not np.array_equal(bare[0], found.background), "the adapter does not listen to its maps"
