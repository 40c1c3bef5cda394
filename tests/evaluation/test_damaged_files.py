"""What an evaluation reads of its own files again: damage is told with the file's name, or the file is made anew."""

import json
from pathlib import Path

import pytest

from decoupage.faults import BadSetup
from evaluation.ablations.records import read_row
from evaluation.ablations.table import TABLE
from evaluation.config import GateConfig
from evaluation.gallery_file import GALLERY, read_gallery
from evaluation.gate.history import read_history
from evaluation.gate.luck import luck_of
from evaluation.method import Layers
from evaluation.page.write import write_pages
from evaluation.records.ask import record
from evaluation.records.foreign import foreign_recipe
from evaluation.records.room import read_records
from evaluation.saved_scores import read_scores
from evaluation.study.folder import KEY, load_study
from evaluation.test_sets.expected import read_entries
from pipelines.stages.store import Store
from tests.evaluation.methods.made_up import Listed
from tests.evaluation.scenes import Known, recipe_of

READERS = {
    "report.json": write_pages,
    GALLERY: lambda store: read_gallery(store, "0"),
    "of/report.json": lambda store: read_scores(store, "of", "adapter"),
    "champion/history/000001.json": read_history,
    TABLE: lambda store: luck_of(store, {}, "", GateConfig()),
    "ablations/paper/row.json": lambda store: read_row(store, "paper"),
    "list.json": read_records,
    "theirs/list.json": lambda store: foreign_recipe("theirs", store.url("theirs"), ["background"]),
    "lists/mine.json": lambda store: read_entries(store.url("lists/mine.json")),
    "study/study.json": lambda store: load_study(store.url("study")),
}
DAMAGE = {
    "empty": b"",
    "cut": b'{"list_sha256": "0", "ima',
    "zeros": b"\0" * 512,
    "latin": b'{"name": "caf\xe9"}',
    "list": b"[1, 2]",
    "null": b"null",
    "deep": b"[" * 100_000,
    "digits": b'{"num_images": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("path", READERS)
def test_a_damaged_file_is_named(tmp_path, path, damage):
    store = Store(str(tmp_path))
    store.write(path, DAMAGE[damage])
    store.write(f"study/{KEY}", bytes(32))
    with pytest.raises(BadSetup) as found:
        READERS[path](store)
    assert store.url(path) in str(found.value) and len(str(found.value)) < 600


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "promoted", "details": {}},
        {"details": []},
        {"kind": "crowned"},
        {"number": 7},
        {"reasons": "one"},
        {"details": {"candidate": {"identity": {}}}},
    ],
    ids=str,
)
def test_a_decision_that_lacks_what_is_read_again_is_named(tmp_path, change):
    event = {
        "number": 1, "at": "2026-01-01", "kind": "refused", "champion": None, "before": None, "reasons": [],
        "details": {"candidate": {"weights_sha256": "0", "identity": {}}},
    }  # fmt: skip
    path = tmp_path / "champion/history/000001.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(event))
    assert len(read_history(Store(str(tmp_path)))) == 1
    path.write_text(json.dumps(event | change))
    with pytest.raises(BadSetup, match=r"000001\.json.*restore it from a copy"):
        read_history(Store(str(tmp_path)))


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_marks_of_records_are_made_anew(tmp_path, damage):
    listed, room, asked = Listed(), Store(str(tmp_path)), []

    def ask(case):
        asked.append(case.name)
        return Layers(case.background)

    def run():
        asked.clear()
        record(listed, [recipe_of(Known("known", ask, ["background"]))], room)
        return list(asked)

    first = run()
    assert len(first) == len(listed.given) and run() == []
    before = {path: (tmp_path / path).read_bytes() for path in map(str, room.tree())}
    for path in (f"known/asked/{first[0]}.json", "known/about.json", "known/list.json", "list.json"):
        Path(tmp_path / path).write_bytes(DAMAGE[damage])
    Path(tmp_path / f"given/{first[1]}.json").write_bytes(DAMAGE[damage])
    assert run() == first[:1]
    assert {path: (tmp_path / path).read_bytes() for path in map(str, room.tree())} == before
