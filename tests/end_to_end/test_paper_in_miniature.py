"""The `paper` profile from end to end in miniature: every source real, small, and served on 127.0.0.1."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from commands.main import app
from pipelines.dataset.stand_ins import stand_ins
from pipelines.foregrounds.mulan.split import FROZEN
from pipelines.foregrounds.prompts import categories
from pipelines.library.catalogue import read_catalogue
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.shards.reader import read_triplets
from pipelines.shards.verify import verify
from pipelines.stages.store import Store
from profiles.profile import Profile, load_profile
from tests.assets_defs.small import run_job
from tests.conftest import CHECKOUT
from tests.miniature import GONE, KEYS, LOST, NUM_BACKGROUNDS, TAKEN_DOWN, TRAIN, VAL, World, small_world
from tests.pipelines.backgrounds.lists import id_of

FOLDERS = ("foregrounds/mulan", "foregrounds/generated", "scenes", "masks", "edges", "segmentation", "depth", "shards")
DATA = {
    "mulan_annotations", "foreground_prompts", "mulan_foregrounds", "layerdiffuse_foregrounds", "openimages_index",
    "background_layouts",
    "foreground_library", "background_library", "scenes", "imperfect_masks", "edge_maps", "segmentation_maps",
    "depth_maps", "shards", "dataset", "held_out_scenes",
}  # fmt: skip


Assets = tuple[Path, dg.ExecuteInProcessResult]


@dataclass(frozen=True)
class Made:
    """What a run left, and what it asked the servers for.

    Attributes:
        asked: path -> requests to the file server.
        answered: questions that the language model answered.
    """

    root: Path
    asked: Counter[str]
    answered: int


def start(
    world: World, root: Path | str, *arguments: str, images: Path | None = None, **variables: str
) -> "subprocess.Popen[str]":
    """The command on the `paper` profile; COCO's pictures go beside a root that is a folder."""
    command = [sys.executable, "-m", "commands.main", *arguments, "--profile", "paper", "--root", str(root)]
    env = world.environment(images or images_of(Path(root))) | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    env |= variables
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def decoupage(world: World, root: Path | str, *arguments: str, **options: Any) -> str:
    """The same to its end; what it printed."""
    out, err = (run := start(world, root, *arguments, **options)).communicate()
    assert run.returncode == 0, err
    return out


def images_of(root: Path) -> Path:
    return root.with_name(f"{root.name}-coco")


def profile_of(world: World, root: Path) -> Profile:
    return load_profile("paper", str(root), world.overrides(images_of(root)))


def made_bytes(root: Path) -> dict[str, bytes]:
    """Tars and indexes of every stage."""
    files = [path for folder in FOLDERS for kind in ("tar", "parquet") for path in (root / folder).glob(f"*.{kind}")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with small_world(tmp_path_factory.mktemp("world")) as world, pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(world.hub))
        yield world


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """By the command, from nothing to shards."""
    root = tmp_path_factory.mktemp("paper") / "root"
    before, answered = len(world.files.asked), world.prompts.answered
    decoupage(world, root, "prompts", "write")
    reports = json.loads(decoupage(world, root, "scenes", "make", "--json"))
    assert {report["stage"]: report["num_items"] for report in reports}["shards"] == 6
    asked = Counter(path for path, _ in world.files.asked[before:])
    return Made(root, asked, world.prompts.answered - answered)


def test_every_source_is_the_papers_own(world: World, made: Made) -> None:
    assert stand_ins(profile_of(world, made.root)) == {}
    foregrounds, _ = read_catalogue(Store(str(made.root)), ForegroundRecord)
    assert {(r.source, r.kind, r.licence) for r in foregrounds} == {
        ("mulan", "real", "cc-by-nc-sa-4.0 AND cc-by-2.0"),
        ("mulan", "real", "cc-by-nc-sa-4.0 AND cc-by-nc-sa-2.0"),
        ("layerdiffuse", "generated", "creativeml-openrail-m"),
    }
    drawn = [r for r in foregrounds if r.kind == "generated"]
    assert {r.category for r in drawn} == set(categories()) and all(r.completeness == "complete" for r in drawn)
    backgrounds, _ = read_catalogue(Store(str(made.root)), BackgroundRecord)
    assert {(r.source, r.licence) for r in backgrounds} == {("openimages", "cc-by-2.0")}
    own = [r for r in backgrounds if r.path.startswith("originals-3mp/train/")]
    assert len(own) == len(backgrounds) - 1 and {(r.width_px, r.height_px) for r in own} == {(1520, 1320)}
    assert [r.path for r in backgrounds if r not in own] == [f"train/{id_of(TAKEN_DOWN)}.jpg"]
    assert all("Ann, of course" in r.attribution for r in backgrounds) and 90 in {
        r.rotation_deg_ccw for r in backgrounds
    }


def test_val2017_is_for_testing_and_nothing_of_it_is_trained_on(made: Made) -> None:
    assert set((made.root / FROZEN).read_text().split()) >= set(VAL)
    foregrounds, _ = read_catalogue(Store(str(made.root)), ForegroundRecord)
    splits = {r.origin.removeprefix("mulan-"): r.split for r in foregrounds if r.kind == "real"}
    assert {splits[id] for id in VAL} == {"test"} and "train" in {splits[id] for id in TRAIN}
    assert not shown(made.root / "shards") & {r.id for r in foregrounds if r.split == "test"}


def test_scenes_are_drawn_from_both_kinds_with_maps_of_nets(made: Made) -> None:
    triplets = list(read_triplets(str(made.root / "shards")))
    layers = [layer for triplet in triplets for layer in triplet.record["layers"]]
    assert {layer["foreground"]["kind"] for layer in layers} == {"real", "generated"}
    assert {triplet.record["background"]["source"] for triplet in triplets} == {"openimages"}
    store = Store(str(made.root))
    for name in ("segmentation", "depth"):
        manifests = [json.loads(store.read(f"{name}/{file}")) for file in ("00000.json", "00001.json")]
        assert all(len(manifest["inputs"]["weights"]) == 64 for manifest in manifests)


def test_the_shards_verify(made: Made) -> None:
    done = CliRunner().invoke(app, ["shards", "verify", str(made.root), "--json"])
    report = json.loads(done.stdout)
    assert (done.exit_code, report["ok"], report["num_scenes"], report["faults"]) == (0, True, 6, [])


def test_nothing_was_asked_for_twice_and_what_is_absent_was_told(made: Made) -> None:
    assert made.answered == len(categories())
    assert set(made.asked.values()) == {1}
    asked = {path for path in made.asked if path.startswith("coco/val2017/")}
    assert asked == {f"coco/val2017/{id}.jpg" for id in (*VAL, GONE)}
    photographs = {path for path in made.asked if path.startswith("train/")}
    assert len(photographs) == NUM_BACKGROUNDS and f"train/{LOST}.jpg" in photographs
    told = [json.loads(line) for path in (made.root / "quarantine").glob("*.jsonl") for line in path.open()]
    assert {(drop["id"], drop["reason"]) for drop in told if GONE in drop["id"]} == {
        (f"mulan-{GONE}", "gone"),
        (f"mulan-{GONE}", "missing_image"),
    }
    left_out = (made.root / "sources/openimages/not_fetched.jsonl").read_text()
    assert LOST in left_out and '"gone"' in left_out


@pytest.mark.slow
def test_with_its_root_in_a_bucket_it_makes_the_same_bytes(world: World, made: Made, s3: Any, tmp_path: Path) -> None:
    """Downloads, answers of the language model, and LayerDiffuse's pictures lie there, too."""
    root = f"{s3.bucket()}/paper"
    here = {"images": tmp_path / "coco", "DECOUPAGE_CACHE": str(tmp_path / "cache")}
    decoupage(world, root, "prompts", "write", **here)
    decoupage(world, root, "scenes", "make", **here)
    store, ours = Store(root), made_bytes(made.root)
    assert [path for path in ours if store.read(path) != ours[path]] == []
    # Another machine, which has no copies of its own, asks no source for anything but what was not there before.
    there = here | {"DECOUPAGE_CACHE": str(tmp_path / "another")}
    asked, answered = len(world.files.asked), world.prompts.answered
    decoupage(world, root, "prompts", "write", **there)
    decoupage(world, root, "scenes", "make", **there)
    assert world.prompts.answered == answered
    assert {path for path, _ in world.files.asked[asked:]} <= {f"train/{LOST}.jpg"}


@pytest.fixture(scope="module")
def assets(world: World, tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """By Dagster, from nothing to dataset and held-out scenes."""
    root = tmp_path_factory.mktemp("assets") / "root"
    selection = [dg.AssetKey(name) for name in DATA]
    profile = profile_of(world, root)
    return root, run_job(profile, dg.DagsterInstance.ephemeral(), "everything", asset_selection=selection)


def test_the_assets_make_the_same_bytes_and_every_check_passes(made: Made, assets: Assets) -> None:
    root, result = assets
    assert result.success
    found = {event.asset_key.to_user_string() for event in result.all_events if event.is_step_materialization}
    assert found == DATA
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) == 25 and [e.check_name for e in evaluations if not e.passed] == []
    ours, theirs = made_bytes(made.root), made_bytes(root)
    assert ours.keys() == theirs.keys() and len(ours) == 2 * 2 * len(FOLDERS)
    assert [path for path in ours if ours[path] != theirs[path]] == []


def test_card_and_index_tell_the_whole_and_name_no_stand_in(assets: Assets) -> None:
    root, _ = assets
    card = (root / "dataset/README.md").read_text()
    assert "tand-in" not in card and "**Not for commercial use**: cc-by-nc-sa-" in card
    assert "\n- cc-by-nc-sa-4.0\n" in card and "| mulan | cc-by-nc-sa-4.0 AND cc-by-2.0 |" in card
    assert "under **cc-by-nc-sa-4.0 AND creativeml-openrail-m AND nvidia-non-commercial**" in card
    index = pq.read_table(root / "dataset/index.parquet", columns=["key"])
    assert set(index["key"].to_pylist()) == {f"{number:08d}" for number in range(6)}
    makers = (root / "dataset/attributions.csv").read_text()
    assert all(name in makers for name in ("MuLAn (Tudosiu", "LayerDiffuse by Lvmin Zhang", "Ann, of course"))


def test_held_out_scenes_show_what_training_does_not(assets: Assets) -> None:
    root, _ = assets
    report = verify([str(root / "held_out")])
    assert (report.num_scenes, report.faults) == (3, [])
    held_out, trained = shown(root / "held_out"), shown(root / "shards")
    assert held_out and trained and not held_out & trained


def shown(shards: Path) -> set[str]:
    """Ids of all that the scenes of a folder show."""
    records = [triplet.record for triplet in read_triplets(str(shards))]
    layers = {layer["foreground"]["id"] for record in records for layer in record["layers"]}
    return layers | {record["background"]["id"] for record in records}


def doctor(environment: dict[str, str], root: Path) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit status, and what is missing by name."""
    command = ["doctor", "--profile", "paper", "--root", str(root), "--json"]
    done = CliRunner().invoke(app, command, env=environment)
    found = json.loads(done.stdout)
    assert found["stand_ins"] == {}
    return done.exit_code, {
        requirement["name"]: requirement for requirement in found["requirements"] if not requirement["present"]
    }


def test_the_doctor_misses_nothing_of_a_whole_world(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=200e9))
    environment = world.environment(tmp_path / "coco")
    environment["DECOUPAGE__TRAINING__RGBA_VAE_CHANGES"] = '{"weights.perceptual" = 0}'
    assert doctor(environment, tmp_path / "root") == (0, {})


def test_the_doctor_names_a_remedy_for_all_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    status, missing = doctor({}, tmp_path / "root")
    assert status == 1
    nets = {"layerdiffuse.base", "layerdiffuse.adapter", "layerdiffuse.decoder", "maps.segmentation", "maps.depth"}
    nets |= {"safety_filter"}
    expected = {"mulan.annotations", "mulan.images", "mulan.coco.info", "OPENAI_API_KEY", *nets, "weights", "HF_TOKEN"}
    expected |= {"rgba_vae.perceptual/packages", "rgba_vae.perceptual/weights"}
    # The machine that the test runs on may have a GPU and a large disk, or neither.
    machine = {"layerdiffuse.device", "maps.segmentation.device", "maps.depth.device"}
    machine |= {name for name in missing if name.startswith("disk /")}
    assert expected <= missing.keys() <= expected | machine
    assert all(requirement["fix"] for requirement in missing.values())
    assert all("hf download " in missing[name]["fix"] for name in (*nets, "weights"))


def kill_when(run: "subprocess.Popen[str]", is_time: Callable[[], bool]) -> None:
    """SIGKILL once something has happened, before the run comes to its end."""
    deadline = time.monotonic() + 300
    while not is_time():
        assert run.poll() is None and time.monotonic() < deadline, run.communicate()[1]
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL


def ledger(root: Path) -> list[dict[str, object]]:
    """Answers that were paid for and written down."""
    lines = [json.loads(line) for path in root.glob("sources/prompts/*.jsonl") for line in path.open()]
    return [line for line in lines if line["kind"] == "answer"]


def fetched(root: Path) -> set[str]:
    """Paths on the server of all that is on disk, whole."""
    coco = {f"coco/{path.relative_to(images_of(root))}" for path in images_of(root).glob("*/*.jpg")}
    return coco | {f"train/{path.name}" for path in root.glob("sources/openimages/train/*.jpg")}


def painted(root: Path) -> dict[str, int]:
    """Pictures of LayerDiffuse, and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in root.glob("sources/layerdiffuse/*/*.webp")}


@pytest.mark.slow
@pytest.mark.faults
def test_killed_in_each_stage_of_a_source_it_ends_with_the_same_bytes_and_repeats_nothing(
    world: World, made: Made, tmp_path: Path
) -> None:
    root, files, model = tmp_path / "root", world.files, world.prompts
    answered, model.delay_s = model.answered, 0.2
    kill_when(start(world, root, "prompts", "write"), lambda: model.answered >= answered + 4)
    kept, questions = ledger(root), len(model.questions)
    assert 3 <= len(kept) < len(categories())
    decoupage(world, root, "prompts", "write")
    assert ledger(root)[: len(kept)] == kept and len(ledger(root)) == len(categories())
    assert [body["seed"] for body in model.questions[questions:]] == list(range(len(kept), len(categories())))
    for path in files.content:
        if path.endswith(".jpg"):
            files.faults[path].append(("slow", 0.3))
    begun = len(files.asked)
    for part, num in (("coco/", 3), ("train/", 4)):
        there, asked = fetched(root), len(files.asked)
        run = start(world, root, "scenes", "make")
        kill_when(run, lambda part=part, num=num: sum(path.startswith(part) for path in fetched(root)) >= num)
        assert not there & {path for path, _ in files.asked[asked:]}
    there, asked = fetched(root), len(files.asked)
    assert 4 <= sum(path.startswith("train/") for path in there) < NUM_BACKGROUNDS - 1
    kill_when(start(world, root, "scenes", "make"), lambda: len(painted(root)) >= 3)
    pictures = painted(root)
    assert 3 <= len(pictures) < len(categories())
    decoupage(world, root, "scenes", "make")
    assert not there & {path for path, _ in files.asked[asked:]}
    lists = [path for path, _ in files.asked[begun:] if path.endswith(".csv")]
    assert len(lists) == len(set(lists)) == 4
    assert pictures.items() <= painted(root).items()
    assert made_bytes(root) == made_bytes(made.root)
    assert not list(root.rglob(".*.tmp"))
