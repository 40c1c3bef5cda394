"""The `decoupage` command as a user meets it: from nothing to verified shards, by subprocess."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.warm.python import PYTHON

SMALL = {
    "DECOUPAGE__SCENES__SCENES_PER_SHARD": "2",
    "DECOUPAGE__SCENES__SIZE_PX": "96",
    "DECOUPAGE__GENERATED__PROMPTS_PER_CATEGORY": "1",
    "DECOUPAGE__GENERATED__SIZE_PX": "160",
    "DECOUPAGE__ENGINE__KIND": "serial",
}


def decoupage(*arguments, python=PYTHON, **environment):
    command = [python, "-m", "commands.main", *map(str, arguments)]
    env = {**os.environ, **SMALL, **environment, "PYTHONPATH": str(Path.cwd())}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("command")
    done = decoupage("scenes", "make", "--root", root, "--scenes", 4, "--json", python=sys.executable)
    assert done.returncode == 0, done.stderr
    assert {report["stage"]: report["num_items"] for report in json.loads(done.stdout)}["shards"] == 4
    return root


def test_verify_is_clean_on_what_was_made(root):
    done = decoupage("shards", "verify", root, "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["num_scenes"], report["faults"]) == (0, True, 4, [])


def test_verify_names_the_member_of_a_flipped_byte(root, tmp_path):
    shard = tmp_path / "shards"
    shard.mkdir()
    for path in (root / "shards").iterdir():
        (shard / path.name).write_bytes(path.read_bytes())
    data = bytearray((shard / "00001.tar").read_bytes())
    place = data.index(b"00000003.json") + 700
    data[place] ^= 1
    (shard / "00001.tar").write_bytes(data)
    done = decoupage("shards", "verify", shard)
    assert done.returncode == 1
    assert "00000003.json" in done.stdout and "1 faults" in done.stdout


def test_export_writes_the_layout_of_other_trainers(root, tmp_path):
    done = decoupage("shards", "export", root, tmp_path, "--layout", "folder")
    assert done.returncode == 0, done.stderr
    sample = tmp_path / "00000000-0"
    assert {path.name for path in sample.iterdir()} == {
        "composite.png", "background.png", "mask.png", "foreground.png", "sample.json",
    }  # fmt: skip
    assert Image.open(sample / "foreground.png").mode == "RGBA"
    assert Image.open(sample / "composite.png").size == (96, 96)


def test_extract_writes_layers_and_lists_what_it_could_not_use(root, tmp_path):
    tree = root / "sources" / "mulan"
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    *whole, broken = sorted((tree / "annotations").glob("*.p.zl"))[:3]
    for path in whole:
        (annotations / path.name).write_bytes(path.read_bytes())
    (annotations / broken.name).write_bytes(b"not a zlib stream")
    done = decoupage("mulan", "extract", annotations, tree / "images", tmp_path / "out", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["drops_by_reason"] == {"not_zlib": 1}
    assert (tmp_path / "out" / f"{whole[0].name.split('.')[0]}-layer_0.png").is_file()
    line = json.loads((tmp_path / "out" / "quarantine.jsonl").read_text())
    assert (line["id"], line["reason"]) == (broken.name.split(".")[0], "not_zlib")


def test_more_scenes_leave_the_earlier_shards_alone(root, tmp_path):
    before = {path.name: path.read_bytes() for path in (root / "shards").glob("*.tar")}
    done = decoupage("scenes", "make", "--root", root, DECOUPAGE__SCENES__NUM_SCENES="6")
    assert done.returncode == 0, done.stderr
    after = {path.name: path.read_bytes() for path in (root / "shards").glob("*.tar")}
    assert before.items() <= after.items() and len(after) == 3


def test_a_failed_check_is_named_and_leaves_with_one_after_everything_is_made(root):
    checked = {"DECOUPAGE__CHECKS__MIN_BACKGROUNDS": "99", "DECOUPAGE__SCENES__NUM_SCENES": "6"}
    done = decoupage("scenes", "make", "--root", root, "--json", **checked)
    assert done.returncode == 1
    assert {report["stage"]: report["num_items"] for report in json.loads(done.stdout)}["shards"] == 6
    lines = [line for line in done.stderr.splitlines() if line.startswith("check failed: ")]
    assert len(lines) == 1 and "background library: enough_backgrounds" in lines[0] and "at least 99" in lines[0]


def test_another_recipe_is_refused_with_both_fingerprints(root):
    done = decoupage("scenes", "make", "--root", root, "--scenes", 4, DECOUPAGE__SCENES__SEED="8")
    assert done.returncode == 2
    assert "scenes.seed (7 there, 8 here)" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DECOUPAGE__SCENES__SIZE_PX": "-3"}, "scenes.size_px must be in [64, 2048]"),
        ({"DECOUPAGE__SCENES__SIZES": "3"}, "unknown key scenes.sizes"),
        ({"DECOUPAGE_PROFILE": "nowhere"}, "there is no profile 'nowhere'; known: cluster, commercial, demo, paper"),
    ],
)
def test_wrong_profiles_stop_with_a_sentence(environment, words):
    done = decoupage("doctor", **environment)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_doctor_says_what_the_profile_is_and_what_is_missing(root):
    done = decoupage("doctor", "--root", root)
    assert done.returncode == 0, done.stdout
    assert "rendered objects" in done.stdout and "MISSING" not in done.stdout
    paper = decoupage("doctor", "--profile", "paper", "--json", DECOUPAGE__GENERATED__SIZE_PX="1024")
    assert paper.returncode == 1
    missing = set(json.loads(paper.stdout)["missing"])
    assert {"mulan.annotations", "mulan.images", "layerdiffuse.base", "maps.segmentation", "maps.depth"} <= missing


def test_wrong_use_leaves_with_two():
    assert decoupage("scenes", "make", "--engine", "magic").returncode == 2
    assert decoupage("scenes", "bake").returncode == 2
    assert decoupage("shards", "export", "nowhere", "out", "--layout", "magic").returncode == 2
