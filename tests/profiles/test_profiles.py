"""Profiles: one file, frozen; every fault is named by the path of its key and the range it must lie in."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from decoupage.faults import BadSetup
from profiles import profile as profiles
from profiles.commercial import load_permitted
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


def test_the_cluster_makes_what_the_paper_makes():
    paper, cluster = load_profile("paper"), load_profile("cluster")
    assert cluster.engine.kind == "ray"
    of_its_own = {"name", "description", "root", "engine"}
    assert cluster.model_dump(exclude=of_its_own) == paper.model_dump(exclude=of_its_own)


def test_gpus_are_shares_of_one_or_whole(write):
    assert load_profile(write(MINIMAL), overrides={"engine.gpus_per_actor": "0.25"}).engine.gpus_per_actor == 0.25
    message = fault(write(MINIMAL), engine__gpus_per_actor="1.5")
    assert "must be a share of one GPU or a whole number of them, got 1.5" in message


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


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (MINIMAL.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (("# Stra\xdfe" + MINIMAL).encode("latin-1"), "line 1, byte 7 (df) is not UTF-8"),
        (b"\0", "line 1 holds NUL bytes"),
        (b"a = " + b"[" * 9000, "its brackets are nested too deeply"),
        (b"a = " + b"9" * 9000, "it holds a number of thousands of digits"),
    ],
)
def test_a_file_that_is_no_text_or_hostile(tmp_path, data, reason):
    (tmp_path / "mine.toml").write_bytes(data)
    message = fault(str(tmp_path / "mine.toml"))
    assert message.count("mine.toml") == 1
    assert reason in message


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_a_mark_and_other_line_ends_change_nothing(tmp_path, end):
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", end).encode())
    assert load_profile(str(tmp_path / "mine.toml")).scenes.num_scenes == 4


def test_roots_that_can_hold_no_file_are_refused_before_any_work(write, tmp_path, monkeypatch):
    path = write(MINIMAL)
    (tmp_path / "file").write_text("")
    (tmp_path / "sealed").mkdir(mode=0o500)
    for root, reason in [
        ("file", "because {0}/file is not a folder"),
        ("file/below", "because {0}/file is not a folder"),
        ("nosuch://a/b", "nosuch://a/b cannot be opened: Protocol not known"),
        ("sealed/new", "because this user cannot write to {0}/sealed"),
    ]:
        monkeypatch.setattr("os.access", lambda place, mode: not str(place).endswith("sealed"))  # root may do all
        with pytest.raises(BadSetup) as refusal:
            load_permitted(path, root if "://" in root else str(tmp_path / root))
        assert reason.format(tmp_path) in str(refusal.value)
        assert "DECOUPAGE_ROOT or --root" in str(refusal.value)
    assert load_permitted(path, str(tmp_path / "new" / "deep")).root == str(tmp_path / "new" / "deep")


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
        ({"scenes__num_scnes": "3"}, "unknown key scenes.num_scnes; did you mean scenes.num_scenes?"),
        ({"scene__num_scenes": "3"}, "unknown key scene.num_scenes; did you mean scenes.num_scenes or"),
        ({"num_scenes": "3"}, "unknown key num_scenes; did you mean scenes.num_scenes or"),
        ({"scenes__Seed": "3"}, "unknown key scenes.Seed; did you mean scenes.seed"),
        ({"nothing__like__it": "3"}, "unknown key nothing.like.it"),
        ({"training__changes__schedule__num_step": "3"}, "num_step; did you mean schedule.num_steps?"),
        ({"scenes__seed": "true"}, "scenes.seed: input should be a valid integer, got true"),
        ({"scenes__seed": "3.0"}, "scenes.seed: input should be a valid integer, got 3.0"),
        ({"scenes__seed": '"3"'}, "scenes.seed: input should be a valid integer, got '3'"),
        ({"scenes__flip_share": "true"}, "scenes.flip_share: input should be a valid number, got true"),
        ({"scenes__flip_share": "nan"}, "scenes.flip_share: input should be a finite number, got nan"),
        ({"masks__box__weight": "inf"}, "masks.box.weight: input should be a finite number, got inf"),
        ({"licences__commercial": "1"}, "licences.commercial: input should be a valid boolean, got 1"),
        ({"library__takedowns": "7"}, "library.takedowns: input should be a valid string, as in '\"7\"', got 7"),
        ({"scenes__seed": "9" * 5000}, "scenes.seed: it holds a number of thousands of digits"),
        ({"scenes__seed": "[" * 9000}, "scenes.seed: its brackets are nested too deeply"),
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


def test_words_of_the_environment_are_booleans_in_any_case(write, monkeypatch):
    monkeypatch.setenv("DECOUPAGE__LICENCES__COMMERCIAL", "False")
    assert load_profile(write(MINIMAL)).licences.commercial is False


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("DECOUPAGE__SCENES__NUM_SCENES", "0", "{}: scenes.num_scenes must be in [1, 100000000], got 0"),
        ("decoupage__scenes__num_scenes", "0", "{}: scenes.num_scenes must be in"),
        ("DECOUPAGE__SCENES__NUM_SCENE", "4", "{}: unknown key scenes.num_scene; did you mean scenes.num_scenes?"),
        ("DECOUPAGE__SCENE__NUM_SCENES", "4", "{}: unknown key scene.num_scenes; did you mean scenes.num_scenes"),
        ("DECOUPAGE__MASKS__BOX__REACH_PX", "[0, 900]", "{}: masks.box.reach_px.1 must be in [0, 512], got 900"),
        ("DECOUPAGE__MULAN__SOURCE", "folder", "mine.toml with {}: mulan: annotations and images must name"),
        ("DECOUPAGE__SCENES__NUM_SCENES__X", "4", "{}: scenes.num_scenes.x: num_scenes is a value"),
        ("DECOUPAGE__SCENES__SEED", "[" * 9000, "{}: its brackets are nested too deeply"),
        ("DECOUPAGE__BACKGROUNDS__FOLDER", "\udcff", "{}: its value is not UTF-8: \\udcff"),
        ("DECOUPAGE_SCENES__SEED", "4", "{} sets nothing; did you mean DECOUPAGE__SCENES__SEED?"),
    ],
)
def test_a_fault_of_the_environment_names_the_variable_and_not_the_file(write, monkeypatch, variable, text, sentence):
    monkeypatch.setenv(variable, text)
    assert fault(write(MINIMAL)).startswith(sentence.format(variable))


def test_a_fault_of_file_and_environment_names_both(write, monkeypatch):
    monkeypatch.setenv("DECOUPAGE__SCENES__SEED", "x")
    message = fault(write(MINIMAL.replace("size_px = 64", "size_px = 63")))
    assert "mine.toml: scenes.size_px must be in [64, 2048] and a multiple of 8, got 63" in message
    assert "DECOUPAGE__SCENES__SEED: scenes.seed: input should be a valid integer, got 'x'" in message


def test_two_spellings_of_one_variable_are_refused(write, monkeypatch):
    monkeypatch.setenv("DECOUPAGE__SCENES__SEED", "1")
    monkeypatch.setenv("Decoupage__Scenes__Seed", "2")
    assert "set the same value: remove one of them" in fault(write(MINIMAL))


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
