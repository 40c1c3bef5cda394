"""The doctor: what a profile needs, source by source, and how to get what is missing; the demo needs nothing."""

import json
import shlex
import shutil
from importlib.util import find_spec
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants

from commands.doctor import examine
from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from decoupage.requirements import Requirement, Space, disks
from pipelines.factory import Factory
from pipelines.stages.manifest import claim
from pipelines.stages.store import Store
from profiles.profile import load_profile
from tests.decoupage.tiny import flux_fill
from training.profile import TrainingSection
from training.rgba_vae.requirements import PACKAGES


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    """Empty caches of both hubs, and no key."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)


def requirements(profile):
    return {requirement.name: requirement for requirement in examine(profile).requirements}


def test_the_demo_needs_no_published_weights(tmp_path):
    assert examine(load_profile("demo", str(tmp_path))).missing == []


def test_the_papers_base_is_missing_with_licence_page_and_command(tmp_path):
    examination = examine(load_profile("paper", str(tmp_path)))
    assert {"weights", "HF_TOKEN"} <= {requirement.name for requirement in examination.missing}
    text = examination.to_text()
    assert f"{constants.ENDPOINT}/black-forest-labs/FLUX.1-Fill-dev" in text
    assert "hf download black-forest-labs/FLUX.1-Fill-dev" in text


def test_a_key_is_told_of_and_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    examination = examine(load_profile("paper", str(tmp_path)))
    assert requirements(load_profile("paper", str(tmp_path)))["HF_TOKEN"].found == "set"
    assert "hf_secret" not in examination.to_text() + examination.to_json()


def test_a_folder_of_weights_that_the_profile_names_is_looked_into(tmp_path):
    flux_fill().save_pretrained(tmp_path / "weights")
    training = TrainingSection(recipe="small_gpu", base=str(tmp_path / "weights"))
    profile = load_profile("demo", str(tmp_path / "root")).model_copy(update={"training": training})
    found = requirements(profile)
    assert found["flux-fill/transformer"].present and "tensors" in found["flux-fill/transformer"].found
    for path in (tmp_path / "weights" / "vae").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    assert not requirements(profile)["flux-fill/vae"].present


def test_every_source_has_its_part_and_the_way_to_it(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    away = dict.fromkeys(("mulan.annotations", "mulan.images", "mulan.coco.info"), f'"{tmp_path}/away"')
    examination = examine(load_profile("paper", str(tmp_path), away))
    missing = {part: {item.name for item in found if not item.present} for part, found in examination.parts.items()}
    assert missing == {
        "packages": set(),
        "engine: engine.kind = process": set(),
        "licences: licences.commercial = false": set(),
        "real foregrounds: mulan.source = folder": set(away),
        "own cutouts: cutouts.source = none": set(),
        "prompts: prompts.source = written": {"OPENAI_API_KEY"},
        "generated foregrounds: generated.generator = layerdiffuse": {
            "layerdiffuse.base", "layerdiffuse.adapter", "layerdiffuse.decoder", "safety_filter",
            *_without_gpu("layerdiffuse.device"),
        },
        "backgrounds: backgrounds.source = openimages": set(),
        "before/after pairs: pairs.source = none": set(),
        "maps: segmentation by segformer, depth by depth_anything_v2": {
            "maps.segmentation", "maps.depth", *_without_gpu("maps.segmentation.device", "maps.depth.device"),
        },
        "library": set(),
        "root": set(),
        "training: recipes rgba_vae, paper": {
            "weights", "HF_TOKEN", "rgba_vae.perceptual/weights", *_without("rgba_vae.perceptual/packages", PACKAGES),
        },
        "test sets": set(),
        "metrics": set(),
        "baselines: classical ones only": set(),
        "disks": _too_small(examination),
    }  # fmt: skip
    assert all(requirement.fix for requirement in examination.missing)


def _without(name, packages):
    return () if all(find_spec(package) for package in packages) else (name,)


def _without_gpu(*names):
    return () if torch.cuda.is_available() else names


def _too_small(examination):
    """Whether this machine's disks are large enough is no matter of the test."""
    return {requirement.name for requirement in examination.missing if requirement.name.startswith("disk /")}


def test_the_text_is_for_a_person_and_its_commands_can_be_copied(tmp_path):
    examination = examine(load_profile("paper", str(tmp_path)))
    lines = examination.to_text().splitlines()
    commands = [line.strip() for line in lines if line.strip().startswith("hf download ")]
    assert len(commands) == 7
    for command in commands:
        # hf takes a pattern without an --include of its own for the name of a file, and fetches nothing.
        words = shlex.split(command)[3:]
        assert all(before == "--include" for before, word in pairwise(words) if "*" in word), command
    is_whole = [len(line.split()) == 1 or line.strip().startswith(("hf download", "python -c")) for line in lines]
    assert all(len(line) <= 80 or whole for line, whole in zip(lines, is_whole, strict=True))
    for part in examination.parts:
        assert f"  {part}" in lines
    assert lines[3].startswith(f"{len(examination.missing)} missing, for: ")
    first_there = lines.index("present")
    assert [i for i, line in enumerate(lines) if "MISSING" in line][-1] < first_there
    assert "" not in [one.fix for one in examination.missing]


def test_the_values_of_the_profile_are_shown_on_request(tmp_path):
    examination = examine(load_profile("demo", str(tmp_path)))
    assert "[scenes]" not in examination.to_text()
    text = examination.to_text(with_profile=True)
    assert "\n[scenes]\n  num_scenes =   640\n" in text
    assert all(len(line) <= 80 or len(line.split()) <= 3 for line in text.splitlines())


def test_a_root_that_cannot_be_written_to_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda place, mode: False)
    assert not requirements(load_profile("demo", str(tmp_path)))["folder"].present
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetup, match=r"cannot be a folder, because .*file is not a folder"):
        examine(load_profile("demo", str(tmp_path / "file")))


def test_a_recipe_that_is_damaged_is_missing(tmp_path):
    (tmp_path / "scenes").mkdir()
    for data in (b"", b"\xff", b"[]", b"{}", b'{"fingerprint": 1}'):
        (tmp_path / "scenes" / "recipe.json").write_bytes(data)
        recipe = requirements(load_profile("demo", str(tmp_path)))["recipe"]
        assert not recipe.present
        assert recipe.found.startswith("scenes: the root holds a damaged recipe.json")


def test_a_profile_that_lacks_nothing_says_so(tmp_path):
    text = examine(load_profile("demo", str(tmp_path))).to_text()
    assert text.splitlines()[3] == "nothing is missing"
    assert "MISSING" not in text
    assert "  generated foregrounds: generated.generator = rendered\n    ok      nothing needed\n" in text


def test_json_has_the_needs_one_after_another(tmp_path):
    examination = examine(load_profile("paper", str(tmp_path)))
    found = json.loads(examination.to_json())
    keys = {"profile", "stand_ins", "fingerprints", "machine", "packages", "requirements", "missing"}
    assert set(found) == keys
    assert [set(requirement) for requirement in found["requirements"]] == [
        {"name", "present", "found", "fix", "space"}
    ] * len(examination.requirements)
    assert found["missing"] == [requirement.name for requirement in examination.missing]


def test_the_folders_of_another_recipe_are_named(tmp_path):
    profile = load_profile("demo", str(tmp_path))
    store = Store(str(tmp_path))
    stages = Factory(profile, store)
    assert requirements(profile)["recipe"].found == "the root is empty"
    for stage in (stages.scenes, stages.masks, stages.maps["edges"], stages.shards):
        claim(store, stage.name, stage.recipe, stage.layout)
    assert requirements(profile)["recipe"].present
    other = load_profile("demo", str(tmp_path), {"masks.box.weight": "0.0"})
    recipe = requirements(other)["recipe"]
    assert not recipe.present and recipe.fix.endswith("or remove the folders masks, shards")
    assert recipe.found.startswith(f"masks: the root holds {fingerprint(stages.masks.recipe)}, the profile requires ")


def disk(profile):
    """The requirement of the only disk, which all folders of the tests lie on."""
    (found,) = (one for name, one in requirements(profile).items() if name.startswith("disk /"))
    return found


def test_room_is_asked_for_what_is_not_there_yet(tmp_path, monkeypatch):
    profile = load_profile("demo", str(tmp_path), {"scenes.num_scenes": "50000", "scenes.size_px": "1024"})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=80e9))
    wanted_gb = 2 * 50_000 * (1.048576 * 0.8 + 0.065536 * 1.7) / 1e3
    assert not disk(profile).present
    assert disk(profile).found.startswith(
        f"{wanted_gb - 80:.1f} GB too little: {wanted_gb:.1f} GB wanted, 80.0 GB free: scenes, masks, maps and shards"
    )
    (tmp_path / "shards").mkdir()
    with (tmp_path / "shards" / "00000.tar").open("wb") as file:
        file.truncate(40 * 10**9)
    assert disk(profile).present and f"{wanted_gb - 40:.1f} GB wanted" in disk(profile).found
    assert "of which 40.0 GB exist already" in requirements(profile)["room"].found


def test_a_disk_must_hold_what_all_folders_on_it_will_take(tmp_path, monkeypatch):
    """MULAN's archive and what is taken of it, COCO, photographs, weights, scenes, each in a folder of its own."""
    places = {"mulan.annotations": str(tmp_path / "mulan" / "annotations"), "mulan.images": str(tmp_path / "coco")}
    profile = load_profile("paper", str(tmp_path / "root"), places)
    spaces = [space for requirement in examine(profile).requirements for space in requirement.space]
    assert {space.folder for space in spaces} == {
        *(
            str(tmp_path / place)
            for place in ("mulan", "mulan/annotations", "coco", "hub", "root", "torch/checkpoints")
        ),
        str(tmp_path / "root" / "sources" / "openimages"),
    }
    wanted_gb = sum(space.gb for space in spaces)
    # Archive and what is taken of it, COCO, photographs with their authors' files, weights, FLUX.1-Fill, scenes.
    assert 36.5 + 13.0 + 38.6 + 60.5 + 10.8 + 33.7 + 129.5 < wanted_gb < 328
    # Each part alone would fit.
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=200e9))
    assert not disk(profile).present and all(space.use in disk(profile).found for space in spaces)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=(wanted_gb + 1) * 1e9))
    assert disk(profile).present
    (tmp_path / "mulan").mkdir()
    with (tmp_path / "mulan" / "mulan.part001.rar").open("wb") as file:
        file.truncate(30 * 10**9)
    assert f"{wanted_gb - 30:.1f} GB wanted" in disk(profile).found


def test_what_goes_to_an_object_store_is_listed_and_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0.0))
    spaces = Space("shards", "s3://bucket/run", 5.0), Space("weights", str(tmp_path / "not" / "yet"), 1.0)
    bucket, local = disks([Requirement("room", True, "", "", spaces)])
    assert bucket.present and bucket.found.startswith("5.0 GB wanted, free room not measured: shards 5.0 in s3://")
    assert not local.present and local.found.startswith("1.0 GB too little: ")
