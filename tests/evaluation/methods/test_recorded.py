"""Recordings: what is written down comes back bit for bit, is asked once, and is never taken for another list's."""

import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from evaluation.cases import list_sha256
from evaluation.methods.record import DidNotRun, Recording, record
from evaluation.methods.recorded import RecordedOutputs
from evaluation.methods.spec import Failure, Layers, answers
from pipelines.stages.store import Store
from tests.evaluation.methods.made_up import Listed
from tests.evaluation.scenes import Known

BOTH = ("background", "foreground")


class Counting(Known):
    """Gives the truth, and counts what it is asked."""

    def __init__(self, fails=()):
        super().__init__("some", lambda case: Layers(case.background, case.foreground))
        self.asked, self.fails = [], set(fails)

    def __call__(self, cases):
        self.asked += [case.name for case in cases]
        return [Failure("no idea") if case.name in self.fails else self.function(case) for case in cases]


@pytest.fixture
def listed():
    return Listed()


def record_all(folder, listed, method, facts=None):
    return record(listed, Recording(Store(str(folder)), "some", BOTH, facts or {"a": 1}), lambda: method)


def test_what_was_recorded_comes_back_bit_for_bit(tmp_path, listed):
    done = record_all(tmp_path, listed, Counting())
    assert done.num_images == len(listed.given) and not done.failures
    read = RecordedOutputs("some", tmp_path, BOTH)
    assert read.list_sha256 == done.list_sha256 == list_sha256(listed.given)
    for case, answer in zip(listed.given, answers(read, listed.given), strict=True):
        assert np.array_equal(answer.background, case.background)
        assert np.array_equal(answer.foreground, case.foreground)


def test_nothing_is_asked_twice_and_nothing_is_written_again(tmp_path, listed):
    record_all(tmp_path, listed, Counting())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    def never():
        raise AssertionError("the method was made although everything is there")

    record(listed, Recording(Store(str(tmp_path)), "some", BOTH, {"a": 1}), never)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_killed_recording_goes_on_where_it_was(tmp_path, listed):
    class Killed(Counting):
        def __call__(self, cases):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().__call__(cases)

    with pytest.raises(KeyboardInterrupt):
        record_all(tmp_path, listed, Killed())
    with pytest.raises(BadSetup, match="not finished"):
        RecordedOutputs("some", tmp_path, BOTH)
    rest = Counting()
    record_all(tmp_path, listed, rest)
    assert rest.asked == [case.name for case in listed.given[2:]]


@pytest.mark.parametrize("change", ["settings", "picture", "image"])
def test_what_changed_is_asked_again_and_nothing_else(tmp_path, listed, change):
    record_all(tmp_path, listed, Counting())
    facts, wanted = {"a": 1}, [listed.given[1].name]
    if change == "settings":
        facts, wanted = {"a": 2}, [case.name for case in listed.given]
    elif change == "picture":
        (tmp_path / f"{wanted[0]}.foreground.png").unlink()
    else:
        second = listed.given[1]
        listed.given = [listed.given[0], replace(second, composite=second.composite ^ 1), *listed.given[2:]]
    again = Counting()
    record_all(tmp_path, listed, again, facts)
    assert again.asked == wanted
    assert all(isinstance(answer, Layers) for answer in answers(RecordedOutputs("some", tmp_path, BOTH), listed.given))


def test_failures_are_told_and_asked_again(tmp_path, listed):
    first = listed.given[0].name
    done = record_all(tmp_path, listed, Counting(fails=[first]))
    assert done.failures == {first: "no idea"}
    found = answers(RecordedOutputs("some", tmp_path, BOTH), listed.given)
    assert found[0] == Failure("no idea") and all(isinstance(answer, Layers) for answer in found[1:])
    again = Counting()
    assert not record_all(tmp_path, listed, again).failures
    assert again.asked == [first]
    assert isinstance(answers(RecordedOutputs("some", tmp_path, BOTH), listed.given)[0], Layers)


def test_a_failure_leaves_no_older_picture_behind(tmp_path, listed):
    first = listed.given[0].name
    record_all(tmp_path, listed, Counting())
    record_all(tmp_path, listed, Counting(fails=[first]), {"a": 2})
    assert not list(tmp_path.glob(f"{first}.*"))


def test_a_method_without_any_answer_did_not_run(tmp_path, listed):
    with pytest.raises(DidNotRun, match=f"any of the {len(listed.given)} images; .*no idea"):
        record_all(tmp_path, listed, Counting(fails=[case.name for case in listed.given]))
    assert not (tmp_path / "list.json").exists()


def test_outputs_of_another_list_are_refused(tmp_path, listed):
    record_all(tmp_path, listed, Counting())
    read = RecordedOutputs("some", tmp_path, BOTH)
    case = listed.given[0]
    with pytest.raises(BadSetup, match="had other pixels then"):
        answers(read, [replace(case, mask=~case.mask)])
    with pytest.raises(BadSetup, match="00000009-0 is not in it"):
        answers(read, [replace(case, name="00000009-0")])


def bomb():
    file = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(file, "PNG")
    return file.getvalue()


def small():
    file = io.BytesIO()
    Image.new("RGB", (31, 32)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "no background"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "cannot be read"),
        (lambda path: path.write_bytes(b"GIF89a" + b"\0" * 20), "cannot be read"),
        (lambda path: path.write_bytes(bomb()), "too_large"),
        (lambda path: path.write_bytes(b"\0" * 200_000), "too large for its size"),
        (lambda path: path.write_bytes(small()), r"is \[32, 31\], not \[32, 32\]"),
        (lambda path: (path.rename(path.with_name("elsewhere.png")), path.symlink_to("elsewhere.png")), "no regular"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "no regular"),
    ],
    ids=["absent", "truncated", "no picture", "bomb", "huge", "size", "link", "pipe"],
)
def test_a_hostile_picture_counts_against_its_own_image(tmp_path, listed, damage, reason):
    record_all(tmp_path, listed, Counting())
    damage(tmp_path / f"{listed.given[1].name}.background.png")
    found = answers(RecordedOutputs("some", tmp_path, BOTH), listed.given)
    assert [isinstance(answer, Failure) for answer in found] == [index == 1 for index in range(len(found))]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found[1].reason)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"list_sha256": "a", "images": [1]}', "\xff"])
def test_a_damaged_list_is_a_bad_set_up(tmp_path, content):
    (tmp_path / "list.json").write_text(content, "latin-1")
    with pytest.raises(BadSetup, match=r"list\.json"):
        RecordedOutputs("some", tmp_path, BOTH)


def test_the_list_says_what_is_in_it(tmp_path, listed):
    record_all(tmp_path, listed, Counting())
    found = json.loads((tmp_path / "list.json").read_text())
    assert found["images"] == [{"name": case.name, "sha256": case.sha256} for case in listed.given]
    about = json.loads((tmp_path / "about.json").read_text())
    assert about["gives"] == list(BOTH) and about["facts"] == {"a": 1}
