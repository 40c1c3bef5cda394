"""Paths that a profile names are asked for before the first stage runs."""

import pytest

from commands import main as cli
from decoupage.requirements import require
from pipelines.named_paths import named_paths
from profiles.profile import load_profile


def missing(root, **overrides: str) -> set[str]:
    profile = load_profile("demo", str(root), {key.replace("__", "."): value for key, value in overrides.items()})
    return {one.name for one in named_paths(profile) if not one.present}


def test_what_is_not_there_is_named(tmp_path):
    assert missing(tmp_path) == set()
    assert missing(tmp_path, backgrounds__source="folder", backgrounds__folder="/nowhere") == {"backgrounds.folder"}
    assert missing(tmp_path, library__takedowns="/nowhere.txt") == {"library.takedowns"}
    mulan = {"mulan__source": "folder", "mulan__annotations": "/nowhere", "mulan__images": "/nowhere"}
    assert missing(tmp_path, **mulan) == {"mulan.annotations", "mulan.images"}
    require(named_paths(load_profile("demo", str(tmp_path))))


def test_scenes_make_stops_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DECOUPAGE__BACKGROUNDS__SOURCE", "folder")
    monkeypatch.setenv("DECOUPAGE__BACKGROUNDS__FOLDER", "/nowhere")
    monkeypatch.setattr("sys.argv", ["decoupage", "scenes", "make", "--root", str(tmp_path / "root")])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert "backgrounds.folder: /nowhere. Fix: put photographs there" in capsys.readouterr().err
    assert not (tmp_path / "root").exists()
