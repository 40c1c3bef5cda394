"""The pictures in the package: each file named once, unchanged, decodable, of its size, licensed; all of them small."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import pytest

from decoupage.images.codecs import decode_rgb
from pipelines.config import GateConfig
from pipelines.foregrounds.cutout import make_cutout
from pipelines.library.objects import object_of
from pipelines.packaged.cutouts import COLUMNS, FOLDER, TABLE, Cutout, packaged_cutouts
from pipelines.packaged.photographs import PHOTOGRAPHS

PICTURES = FOLDER.parent
GB82 = {
    "bulb": "59458e588d3e1789",
    "flowers": "19d1aafd4cbe6e53",
    "grass": "e7298738d26484e4",
    "guitar": "c827500556ae122b",
    "haze": "a19894418e486e14",
    "mies": "b46cfd5086dcf5e0",
    "night": "899c775dde77c1b0",
    "nyc": "21b1e62354250bf7",
    "path": "e6219b1ad083f698",
    "prudential": "d250f6c31415e107",
    "sand": "9a54affbf5486e3e",
    "sumac": "3557e6c2009606c5",
    "sunset": "3e6f93464e78f289",
    "waves": "95af214a815e40e4",
}
"""Name -> start of the SHA-256 of its file."""


def test_every_photograph_of_the_package_is_in_the_table_and_unchanged() -> None:
    ours = {photograph.name: photograph for photograph in PHOTOGRAPHS if photograph.package == "pipelines"}
    assert {path.name for path in (PICTURES / "photographs").iterdir()} == {
        "LICENSE.txt",
        *(photograph.path.name for photograph in ours.values()),
    }
    assert ours.keys() == GB82.keys()
    for name, photograph in ours.items():
        data = photograph.path.read_bytes()
        assert hashlib.sha256(data).hexdigest().startswith(GB82[name])
        assert decode_rgb(data).shape == (576, 576, 3)
        assert (photograph.licence, "Gianni Rosato" in photograph.attribution) == ("cc0-1.0", True)


def test_every_cutout_is_named_once_and_unchanged() -> None:
    with (FOLDER / TABLE).open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == COLUMNS
    assert sorted(row["file"] for row in rows) == sorted(path.name for path in FOLDER.glob("*.webp"))
    assert {path.name for path in FOLDER.iterdir()} == {TABLE, "LICENSE.txt", *(row["file"] for row in rows)}
    assert len({row["name"] for row in rows}) == len(rows) == len(packaged_cutouts())
    for row in rows:
        assert hashlib.sha256((FOLDER / row["file"]).read_bytes()).hexdigest() == row["sha256"]


def test_there_are_enough_of_many_kinds() -> None:
    kinds = Counter(cutout.category for cutout in packaged_cutouts())
    assert 80 <= kinds.total() <= 90 and len(kinds) >= 12
    assert max(kinds.values()) <= kinds.total() / 4


@pytest.mark.parametrize("cutout", packaged_cutouts(), ids=lambda cutout: cutout.name)
def test_a_cutout_is_whole_and_its_name_says_what_it_shows(cutout: Cutout) -> None:
    rgba = cutout.read()
    assert rgba.shape == (256, 256, 4)
    _, record = make_cutout(
        *(rgba, GateConfig(min_area_px=2000)),
        kind="generated",
        id=cutout.path.stem,
        source="rendered",
        origin=cutout.name,
        prompt=cutout.name,
        licence="mit",
        attribution="",
    )
    assert record.completeness == "complete"
    assert object_of(cutout.category, cutout.name, "")


def test_the_pictures_are_small_and_their_licences_lie_beside_them() -> None:
    sizes = [path.stat().st_size for path in PICTURES.rglob("*") if path.is_file()]
    assert sum(sizes) <= 6_000_000
    assert "Copyright (c) Microsoft Corporation" in _licence("cutouts") and "MIT License" in _licence("cutouts")
    assert "CC0 1.0" in _licence("photographs") and "Gianni Rosato" in _licence("photographs")


def _licence(folder: str) -> str:
    return Path(PICTURES / folder / "LICENSE.txt").read_text()
