"""From a name to a test set: profile, expected lists, what the library is told, and the command."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from commands import main as cli
from decoupage.faults import BadSetup
from evaluation.cases import Entry, list_file
from evaluation.run import evaluate
from evaluation.test_sets.choose import find_test_set
from evaluation.test_sets.expected import require_list
from evaluation.test_sets.pictures import write_lists
from evaluation.test_sets.requirements import requirements
from pipelines import checks
from pipelines.config import LibraryConfig
from pipelines.library.catalogue import build_catalogue, read_backgrounds, read_foregrounds
from pipelines.library.evaluation_lists import read_evaluation_list
from pipelines.library.leaks import find_leaks
from pipelines.library.names import asset_id
from pipelines.library.picture_hashes import HashCache
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, build_dataset
from profiles.profile import load_profile
from tests.evaluation.scenes import Known, recipe_of, truth
from tests.evaluation.test_sets.pairs import SIZE, scene, write, write_set
from tests.library import write_library


def profile_of(tmp_path, **settings):
    return load_profile("demo", str(tmp_path / "root"), {f"evaluation.{key}": value for key, value in settings.items()})


def chosen(tmp_path, name, **settings):
    profile = profile_of(tmp_path, **settings)
    return find_test_set(name, profile.evaluation, profile, Store(profile.root))


def test_a_folder_is_named_by_the_profile_or_by_its_path(tmp_path):
    folder = write_set(tmp_path / "My Pairs", "a", "b")
    settings = {"test_sets.folders.pairs.folder": f'"{folder}"'}
    named = chosen(tmp_path, "pairs", **settings)
    assert named.name == "pairs" and [case.size for case in named.cases()] == [SIZE] * 2
    by_path = chosen(tmp_path, f"folder:plain:{folder}")
    assert by_path.name == "plain_my_pairs"
    assert [case.sha256 for case in by_path.cases()] == [case.sha256 for case in named.cases()]


def test_a_layout_of_the_profile(tmp_path):
    pictures = scene(0)
    write(
        tmp_path / "set", "a", {"shown": pictures["image"], "where": pictures["mask"], "empty": pictures["background"]}
    )
    layout = {
        role: f'"{folder}/*"' for role, folder in (("image", "shown"), ("mask", "where"), ("background", "empty"))
    }
    settings = {f"test_sets.layouts.mine.{role}": pattern for role, pattern in layout.items()}
    (case,) = chosen(tmp_path, f"folder:mine:{tmp_path / 'set'}", **settings).cases()
    assert np.array_equal(case.composite, pictures["image"])


@pytest.mark.parametrize("name", ["nothing", "folder:plain", "folder::x", "folder"])
def test_an_unknown_name_lists_those_there_are(tmp_path, name):
    with pytest.raises(BadSetup, match=r"known: held_out, mulan, pairs, folder:LAYOUT:PATH"):
        chosen(tmp_path, name, **{"test_sets.folders.pairs.folder": '"x"'})


def test_mulan_needs_a_list_that_is_settled(tmp_path):
    with pytest.raises(BadSetup, match="not settled yet"):
        chosen(tmp_path, "mulan")


def test_profiles_refuse_what_would_not_work(tmp_path):
    with pytest.raises(ValueError, match="cannot be named mulan"):
        profile_of(tmp_path, **{"test_sets.folders.mulan.folder": '"x"'})
    with pytest.raises(ValueError, match=r"test_sets.dilate_px must be in \[0, 256\]"):
        profile_of(tmp_path, **{"test_sets.dilate_px": "-1"})
    with pytest.raises(ValueError, match="one \\* for the image's name"):
        profile_of(tmp_path, **{"test_sets.layouts.mine.image": '"img/"'})


# ---- expected lists


def entries(test_set):
    return [Entry(case.name, case.sha256) for case in test_set.cases()]


def test_the_list_that_was_meant_passes_as_file_and_as_hash(tmp_path):
    folder = write_set(tmp_path / "set", "a", "b")
    listed = write_lists(chosen(tmp_path, f"folder:plain:{folder}"), Store(str(tmp_path)), None)
    for expected in (str(tmp_path / "list.json"), listed["list_sha256"]):
        assert chosen(tmp_path, f"folder:plain:{folder}", **{"test_sets.expected_lists.plain_set": f'"{expected}"'})


def test_another_list_stops_and_the_first_images_that_differ_are_named(tmp_path):
    folder = write_set(tmp_path / "set", "a", "b", "c")
    test_set = chosen(tmp_path, f"folder:plain:{folder}")
    listed = write_lists(test_set, Store(str(tmp_path)), None)
    path = folder / "background/b.png"
    picture = np.asarray(Image.open(path)).copy()
    picture[0, 0] = 255 - picture[0, 0]
    Image.fromarray(picture).save(path)
    (folder / "image/c.png").unlink()
    settings = {"test_sets.expected_lists.plain_set": f'"{tmp_path / "list.json"}"'}
    with pytest.raises(BadSetup, match=r"2 of 3 lines differ. line 2: b has other pixels; line 3: c is missing"):
        chosen(tmp_path, f"folder:plain:{folder}", **settings)
    with pytest.raises(BadSetup, match=f"not to {listed['list_sha256']}, over 2 images"):
        chosen(tmp_path, f"folder:plain:{folder}", **{"test_sets.expected_lists.plain_set": listed["list_sha256"]})


def test_our_own_scenes_can_be_expected_too(tmp_path):
    build_dataset(tmp_path / "root/held_out", FakeScenes(num_scenes=2, scenes_per_shard=2))
    own = chosen(tmp_path, "held_out")
    listed = write_lists(own, Store(str(tmp_path)), None)
    expected = {"test_sets.expected_lists.held_out": f'"{tmp_path / "list.json"}"'}
    again = chosen(tmp_path, "held_out", **expected)
    assert [entry.name for entry in entries(again)] == [image["name"] for image in listed["images"]]
    shutil.rmtree(tmp_path / "root/held_out")
    build_dataset(tmp_path / "root/held_out", FakeScenes(num_scenes=2, scenes_per_shard=2, seed=1))
    with pytest.raises(BadSetup, match=r"3 of 3 lines differ. line 1: .* has other pixels"):
        chosen(tmp_path, "held_out", **expected)


def test_a_list_that_was_changed_by_hand_is_not_taken(tmp_path):
    folder = write_set(tmp_path / "set", "a", "b")
    test_set = chosen(tmp_path, f"folder:plain:{folder}")
    damaged = list_file(entries(test_set), {}) | {"images": []}
    (tmp_path / "list.json").write_text(json.dumps(damaged))
    with pytest.raises(BadSetup, match="does not hash"):
        require_list(test_set, str(tmp_path / "list.json"))
    for text in ("{}", "[1]", "no json"):
        (tmp_path / "list.json").write_text(text)
        with pytest.raises(BadSetup, match=r"not a list\.json|is not JSON"):
            require_list(test_set, str(tmp_path / "list.json"))
    with pytest.raises(BadSetup, match=r"nowhere\.json .* cannot be read"):
        require_list(test_set, str(tmp_path / "nowhere.json"))


# ---- report


def test_scores_carry_the_list_and_the_report_counts_what_is_excluded(tmp_path):
    folder = write_set(tmp_path / "set", *"abcd")
    (folder / "background/c.png").unlink()
    profile = profile_of(tmp_path)
    test_set = find_test_set(f"folder:plain:{folder}", profile.evaluation, profile, Store(profile.root))
    known = {"truth": truth.function, "input": _input}
    methods = [recipe_of(Known(name, function, ["background"])) for name, function in known.items()]
    report = evaluate(test_set, methods, profile.evaluation, str(tmp_path / "report")).values
    listed = json.loads((tmp_path / "report/list.json").read_text())
    assert report["list_sha256"] == listed["list_sha256"] and report["num_images"] == 3
    assert report["test_set"]["num_excluded"] == 1 and report["test_set"]["layout"].startswith("image image/*, ")
    assert listed["excluded"][0]["reason"] == "missing_background"
    assert report["methods"]["truth"]["background"]["psnr_mask"]["mean"] == 100
    assert report["methods"]["input"]["background"]["psnr_mask"]["mean"] < 20
    page = (tmp_path / "report/report.html").read_text()
    assert "missing_background" in page and "1 of 4 images" in page
    assert "1 of 4 images" in (tmp_path / "report/report.md").read_text()


def _input(case):
    from evaluation.method import Layers

    return Layers(case.composite)


# ---- the library


PHOTO1 = asset_id("tests", "photo1.png")
CLEAN = LibraryConfig(held_out=("real-5", "photo4"), held_out_share=0.0)


def test_the_library_keeps_out_what_a_list_shows(tmp_path):
    """A photograph behind an object of a test set, and that photograph in the library; pictures of neither are kept."""
    store = Store(str(tmp_path / "root"))
    write_library(store.root)
    photographs = Store(f"{store.root}/photographs")
    found = [r for kind in ("real", "generated") for r in read_foregrounds(store, f"foregrounds/{kind}")]
    build_catalogue(store, found, CLEAN, photographs=photographs)
    build_catalogue(store, read_backgrounds(store, "backgrounds"), CLEAN, photographs=photographs)
    assert find_leaks(store, photographs, CLEAN, (), ()).leaks == ()
    background = np.asarray(Image.open(f"{store.root}/photographs/photo1.png").convert("RGB"))
    image, mask = background.copy(), np.zeros(background.shape[:2], np.uint8)
    image[20:60, 30:80] = 255 - image[20:60, 30:80]
    mask[20:60, 30:80] = 255
    write(tmp_path / "set", "a", {"image": image, "mask": mask, "background": background})
    write_lists(chosen(tmp_path, f"folder:plain:{tmp_path / 'set'}"), Store(str(tmp_path)), store)
    leaks = find_leaks(store, photographs, CLEAN, (), ())
    path = "library/evaluation_lists/plain_set.json"
    assert {(leak.training, leak.list, leak.by) for leak in leaks.leaks} == {(PHOTO1, path, "picture")}
    assert leaks.lists[path] == 2 and not checks.no_leak(leaks).passed
    report = build_catalogue(store, read_backgrounds(store, "backgrounds"), CLEAN, photographs=photographs)
    assert [(drop["id"], drop["reason"]) for drop in report.drops] == [(PHOTO1, "leak")]
    assert checks.no_leak(find_leaks(store, photographs, CLEAN, (), ())).passed


def test_a_list_of_hashes_serves_on_another_machine_and_a_damaged_one_stops(tmp_path):
    store = Store(str(tmp_path / "root"))
    folder = write_set(tmp_path / "set", "a", "000000000139", roles=("image", "mask", "background", "foreground"))
    write_lists(chosen(tmp_path, f"folder:plain:{folder}"), Store(str(tmp_path)), store)
    path = f"{store.root}/library/evaluation_lists/plain_set.json"
    found = read_evaluation_list(path, HashCache(store))
    assert set(found.pictures) == {
        f"{name}/{role}" for name in ("a", "000000000139") for role in ("composite", "background", "foreground")
    }
    assert found.names == {"000000000139"}  # `a` means nothing outside its folder.
    good = json.loads(store.read("library/evaluation_lists/plain_set.json"))
    bad = (
        {},
        [],
        good | {"pictures": {}},
        good | {"pictures": {"a": ["0" * 64, "xyz"]}},
        good | {"pictures": {"a": []}},
    )
    for values in (*bad, good | {"pictures": {"a": [[1], "0" * 16]}}):
        (tmp_path / "bad.json").write_text(json.dumps(values))
        with pytest.raises(BadSetup, match=r"bad\.json"):
            read_evaluation_list(str(tmp_path / "bad.json"), HashCache(store))


# ---- the command and the doctor


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["decoupage", "evaluate", "--root", str(tmp_path / "root"), *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    return run


def test_a_list_can_be_written_without_an_adapter(tmp_path, run):
    folder = write_set(tmp_path / "set", "a", "b")
    status, out, err = run("--test-set", f"folder:plain:{folder}", "--list-only")
    assert status == 0, err
    listed = json.loads((tmp_path / "root/report/plain_set/list.json").read_text())
    assert [image["name"] for image in listed["images"]] == ["a", "b"] and listed["list_sha256"] in out
    assert (tmp_path / "root/library/evaluation_lists/plain_set.json").is_file()
    (folder / "mask/b.png").unlink()
    status, out, _ = run("--test-set", f"folder:plain:{folder}", "--list-only")
    assert status == 1 and "not used: b (missing_mask: no mask/b)" in out and "1 images" in out
    status, out, _ = run("--test-set", f"folder:plain:{folder}", "--list-only", "--json")
    assert status == 1 and json.loads(out)["excluded"][0]["name"] == "b"


def test_an_unknown_test_set_is_wrong_use(run):
    status, _, err = run("--test-set", "rrod", "--list-only")
    assert status == 2 and "there is no test set 'rrod'" in err


def test_the_doctor_tells_what_test_sets_lack(tmp_path):
    folder = write_set(tmp_path / "set", "a")
    settings = {
        "test_sets.folders.here.folder": f'"{folder}"',
        "test_sets.folders.gone.folder": f'"{tmp_path / "gone"}"',
        "test_sets.expected_lists.here": f'"{tmp_path / "list.json"}"',
        "test_sets.expected_lists.gone": f'"{"0" * 64}"',
    }
    found = {
        requirement.name: requirement.present
        for requirement in requirements(profile_of(tmp_path, **settings).evaluation.test_sets)
    }
    prefix = "evaluation.test_sets"
    assert found == {
        f"{prefix}.folders.here": True,
        f"{prefix}.folders.gone": False,
        f"{prefix}.expected_lists.here": False,
    }
