"""Profiles: one file, frozen; every fault is named by the path of its key and the range it must lie in."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from profiles import profile as profiles
from profiles.profile import CONFIGS, Profile, load_profile

MINIMAL = """
[mulan]
source = "packaged"
[backgrounds]
source = "packaged"
[scenes]
num_scenes = 4
scenes_per_shard = 2
size_px = 64
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return write


def fault(name: str, **overrides: str) -> str:
    with pytest.raises(ValueError, match=r".") as refusal:
        load_profile(name, overrides={key.replace("__", "."): value for key, value in overrides.items()})
    return str(refusal.value)


def test_the_demo_is_the_default():
    profile = load_profile()
    assert profile.name == "demo"
    assert Path(profile.root) == CONFIGS.parent / "data" / "demo"
    assert profile == load_profile("demo")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_profile_in_the_repository_loads(path):
    profile = load_profile(path.stem)
    assert profile.name == path.stem
    assert profile.description


def test_a_profile_is_frozen():
    profile = load_profile()
    with pytest.raises(ValidationError, match="frozen"):
        profile.scenes.num_scenes = 3
    with pytest.raises(ValidationError, match="frozen"):
        profile.name = "other"


def test_a_file_anywhere(write):
    path = write(MINIMAL)
    profile = load_profile(path)
    assert profile.name == "mine"
    assert profile.scenes.num_scenes == 4
    assert Path(profile.root).parts[-2:] == ("data", "mine")


def test_the_environment_names_profile_and_root(write, monkeypatch):
    monkeypatch.setenv("DECOUPAGE_PROFILE", write(MINIMAL))
    monkeypatch.setenv("DECOUPAGE_ROOT", "s3://bucket/run")
    profile = load_profile()
    assert (profile.name, profile.root) == ("mine", "s3://bucket/run")
    assert load_profile("demo", root="/elsewhere").root == "/elsewhere"


def test_overrides_win_over_the_environment_which_wins_over_the_file(write, monkeypatch):
    path = write(MINIMAL)
    monkeypatch.setenv("DECOUPAGE__SCENES__NUM_SCENES", "128")
    monkeypatch.setenv("DECOUPAGE__SCENES__SEED", "5")
    assert load_profile(path).scenes.num_scenes == 128
    profile = load_profile(path, overrides={"scenes.num_scenes": "9"})
    assert (profile.scenes.num_scenes, profile.scenes.seed, profile.scenes.size_px) == (9, 5, 64)


def test_values_in_the_environment_are_toml_or_bare_words(write, monkeypatch):
    monkeypatch.setenv("DECOUPAGE__ENGINE__KIND", "serial")
    monkeypatch.setenv("DECOUPAGE__LIBRARY__TAKEDOWNS", "some where/ids.txt")
    monkeypatch.setenv("DECOUPAGE__GATES__COVERAGE", "[0.2, 0.9]")
    monkeypatch.setenv("DECOUPAGE__MASKS__BOX__WEIGHT", "0")
    profile = load_profile(write(MINIMAL))
    assert profile.engine.kind == "serial"
    assert profile.library.takedowns == "some where/ids.txt"
    assert profile.gates.coverage == (0.2, 0.9)
    assert profile.masks.box.weight == 0


def test_sections_that_the_file_lacks_can_be_overridden(write):
    path = write(MINIMAL)
    assert load_profile(path, overrides={"engine.workers": "3"}).engine.workers == 3


def test_an_unknown_profile_names_the_known_ones():
    message = fault("dmeo")
    assert "there is no profile 'dmeo'" in message
    assert "demo" in message.split("known:")[1]
    assert "there is no profile" in fault("absent/file.toml")


def test_a_file_that_is_not_toml(write):
    assert "mine.toml is not TOML" in fault(write("[scenes\n"))


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    assert "mine.toml is not TOML" in fault(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ({"scenes__num_scenes": "0"}, "scenes.num_scenes must be in [1, 100000000], got 0"),
        ({"scenes__size_px": "-3"}, "scenes.size_px must be in [64, 2048] and a multiple of 8, got -3"),
        ({"scenes__size_px": "100"}, "scenes.size_px must be in [64, 2048] and a multiple of 8, got 100"),
        ({"scenes__flip_share": "1.5"}, "scenes.flip_share must be in [0.0, 1.0], got 1.5"),
        ({"masks__box__weight": "-1"}, "masks.box.weight must be in [0.0, 1000.0], got -1"),
        ({"masks__box__reach_px": "[0, 900]"}, "masks.box.reach_px.1 must be in [0, 512], got 900"),
        ({"backgrounds__min_sharpness": "-1"}, "backgrounds.min_sharpness must be in [0.0, inf), got -1"),
        ({"scenes__size__max_total_share": "0"}, "scenes.size.max_total_share must be in (0.0, 1.0], got 0"),
        ({"scenes__size__max_total_share": "2"}, "scenes.size.max_total_share must be in (0.0, 1.0], got 2"),
        ({"engine__kind": "threads"}, "engine.kind: input should be 'serial'"),
        ({"scenes__num_scenes": "many"}, "scenes.num_scenes: input should be a valid integer"),
        ({"scenes__num_scenes": "1.5"}, "scenes.num_scenes: input should be a valid integer"),
        ({"scenes__num_scnes": "3"}, "unknown key scenes.num_scnes"),
        ({"scene__num_scenes": "3"}, "unknown key scene"),
        ({"masks__box__reach_px": "[9, 3]"}, "masks.box: reach_px must be [low, high] with low <= high, got [9, 3]"),
        ({"mulan__source": "folder"}, "mulan: annotations and images must name folders when source = 'folder'"),
        ({"scenes__num_scenes__x": "3"}, "scenes.num_scenes.x: num_scenes is a value, not a section"),
        ({"masks__box__reach_px": "[1, 2, 3]"}, "masks.box.reach_px: "),
        ({"scenes": "3"}, "scenes: "),
    ],
    ids=str,
)
def test_impossible_values(write, override, sentence):
    message = fault(write(MINIMAL), **override)
    assert sentence in message
    assert "pydantic" not in message


def test_a_missing_key_is_named(write):
    assert "mine.toml: scenes.num_scenes is missing" in fault(write(MINIMAL.replace("num_scenes = 4", "")))
    assert "mulan is missing" in fault(write("[scenes]\nnum_scenes = 1"))


def test_all_faults_come_at_once(write):
    message = fault(write(MINIMAL), scenes__num_scenes="0", scenes__flip="1", engine__workers="-1")
    assert all(key in message for key in ("scenes.num_scenes", "scenes.flip", "engine.workers"))


def test_name_and_root_cannot_be_set_by_the_file(write):
    profile = load_profile(write('name = "other"\nroot = "/other"\n' + MINIMAL))
    assert profile.name == "mine"


def test_an_installed_copy_keeps_data_out_of_the_installation(monkeypatch, tmp_path):
    """Without a checkout around it, the default root lies in the working directory."""
    monkeypatch.setattr(profiles, "CHECKOUT", None)
    monkeypatch.chdir(tmp_path)
    assert Path(load_profile().root) == tmp_path / "data" / "demo"


def test_no_field_of_a_profile_is_a_secret():
    def names(model: type) -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            found |= {name} | (names(field.annotation) if hasattr(field.annotation, "model_fields") else set())
        return found

    words = ("token", "secret", "password", "key")  # Whole words: `max_answer_tokens` counts what a model writes.
    assert not {name for name in names(Profile) if set(name.split("_")) & set(words)}
