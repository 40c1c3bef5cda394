"""Records: what is written down comes back bit for bit, is asked once, and is never taken for another question's."""

import json
from dataclasses import replace

import numpy as np
import pytest

from decoupage.faults import BadSetup
from evaluation.cases import list_sha256
from evaluation.method import Failure, Layers, MethodRecipe
from evaluation.records.ask import record
from evaluation.records.method import record_of
from evaluation.records.room import read_method, read_records
from pipelines.stages.store import Store
from tests.evaluation.methods.made_up import Listed
from tests.evaluation.scenes import Known

BOTH = frozenset({"background", "foreground"})


class Counting(Known):
    """Gives the truth, and counts what it is asked."""

    def __init__(self, fails=(), name="some"):
        super().__init__(name, lambda case: Layers(case.background, case.foreground))
        self.asked, self.fails = [], set(fails)

    def __call__(self, case):
        self.asked.append(case.name)
        return Failure("no idea") if case.name in self.fails else self.function(case)


@pytest.fixture
def listed():
    return Listed()


def recipe(method, name="some", **changes):
    return MethodRecipe(name, BOTH, lambda: method, **{"facts": {"weights": "a"}, "settings": {"seed": 0}} | changes)


def record_all(folder, listed, method, **changes):
    room = folder if isinstance(folder, Store) else Store(str(folder))
    return record(listed, [recipe(method, **changes)], room)


def asked_now(folder, listed, **changes):
    """What a method with these facts or settings is asked."""
    method = Counting()
    record_all(folder, listed, method, **changes)
    return method.asked


def names(listed):
    return [case.name for case in listed.given]


def test_what_was_recorded_comes_back_bit_for_bit(tmp_path, listed):
    done = record_all(tmp_path, listed, Counting())
    read = read_records(str(tmp_path))
    assert read.list_sha256 == done.list_sha256 == list_sha256(listed.given)
    assert read.names == tuple(names(listed)) and read.scenes == {case.name: case.key for case in listed.given}
    for case in listed.given:
        found = read.methods["some"].answer(case)
        assert np.array_equal(found.background, case.background)
        assert np.array_equal(found.foreground, case.foreground)
        composite, mask = read.given(case.name)
        assert np.array_equal(composite, case.composite) and np.array_equal(mask, case.mask)


def test_an_opacity_comes_back_and_is_a_part_of_the_answer(tmp_path, listed):
    class WithOpacity(Counting):
        def __call__(self, case):
            return replace(super().__call__(case), opacity=case.composite[..., 0])

    store = Store(str(tmp_path))
    record_all(tmp_path, listed, WithOpacity())
    found, file = read_records(str(tmp_path)).methods["some"], f"some/{names(listed)[1]}.opacity.png"
    whole = found.digest()
    for case in listed.given:
        assert np.array_equal(found.answer(case).opacity, case.composite[..., 0])
    store.remove(file)
    assert found.digest() is None
    with pytest.raises(BadSetup, match="is not the picture that was recorded"):
        found.answer(listed.given[1])
    record_all(tmp_path, listed, WithOpacity())
    assert found.digest() == whole and store.exists(file)
    record_all(tmp_path, listed, Counting(), facts={"weights": "b"})
    assert not store.exists(file), "an answer without one leaves none of an earlier answer"
    assert read_records(str(tmp_path)).methods["some"].answer(listed.given[1]).opacity is None


def test_records_in_an_object_store_are_the_same_and_are_asked_once(remote, tmp_path, listed):
    here, there = record_all(tmp_path, listed, Counting()), record_all(remote, listed, Counting())
    assert there.entries == here.entries and there.shared == here.shared
    files = Store(str(tmp_path)).tree()
    assert remote.tree() == files and [remote.read(path) for path in files] == [here.store.read(path) for path in files]
    digests = [records.methods["some"].digest() for records in (here, there)]
    assert digests[0] == digests[1] is not None
    assert not asked_now(remote, listed)
    remote.remove(f"some/{names(listed)[1]}.background.png")
    assert there.methods["some"].digest() is None
    assert asked_now(remote, listed) == names(listed)[1:2]


def test_nothing_is_asked_twice_and_nothing_is_written_again(tmp_path, listed):
    record_all(tmp_path, listed, Counting())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    def never():
        raise AssertionError("the method was made although everything is there")

    record(listed, [replace(recipe(None), make=never)], Store(str(tmp_path)))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_killed_recording_goes_on_where_it_was(tmp_path, listed):
    class Killed(Counting):
        def __call__(self, case):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().__call__(case)

    with pytest.raises(KeyboardInterrupt):
        record_all(tmp_path, listed, Killed())
    with pytest.raises(BadSetup, match="not finished"):
        read_records(str(tmp_path))
    assert not (tmp_path / "some" / "list.json").exists()
    assert asked_now(tmp_path, listed) == names(listed)[2:]


def test_methods_are_made_one_after_another_and_let_go(tmp_path, listed):
    """Weights of two are never in memory together, and those of a method that is recorded are not loaded."""
    alive, made = set(), []

    class Heavy(Counting):
        def __init__(self, name):
            super().__init__(name=name)
            assert not alive, f"{alive} is still in memory"
            alive.add(name)
            made.append(name)

        def __del__(self):
            alive.discard(self.name)

    recipes = [MethodRecipe(name, BOTH, lambda name=name: Heavy(name)) for name in ("one", "two", "three")]
    record(listed, recipes[1:2], Store(str(tmp_path)))
    record(listed, recipes, Store(str(tmp_path)))
    assert made == ["two", "one", "three"] and not alive


@pytest.mark.parametrize("change", ["weights", "settings", "maps", "image", "absent", "damaged", "cut off", "mark"])
def test_what_changed_is_asked_again_and_nothing_else(tmp_path, listed, change):
    record_all(tmp_path, listed, Counting(), maps=("depth",))
    changes, wanted = {}, [listed.given[1].name]
    picture = tmp_path / "some" / f"{wanted[0]}.foreground.png"
    second = listed.given[1]
    if change in ("weights", "settings"):
        changes = {"facts": {"weights": "b"}} if change == "weights" else {"settings": {"seed": 1}}
        wanted = names(listed)
    elif change == "maps":
        listed.given[1] = replace(second, maps={**second.maps, "depth": second.maps["depth"] + 1})
    elif change == "image":
        listed.given[1] = replace(second, composite=second.composite ^ 1)
    elif change == "absent":
        picture.unlink()
    elif change == "damaged":
        # A picture that opens, and is not the one that the method gave.
        picture.write_bytes((tmp_path / "some" / f"{listed.given[0].name}.foreground.png").read_bytes())
    elif change == "cut off":
        picture.write_bytes(picture.read_bytes()[:-40])
    else:
        (tmp_path / "some" / "asked" / f"{wanted[0]}.json").write_text('{"image"')
    assert asked_now(tmp_path, listed, maps=("depth",), **changes) == wanted
    done = read_records(str(tmp_path)).methods["some"]
    assert all(isinstance(done.answer(case), Layers) for case in listed.given)
    assert asked_now(tmp_path, listed, maps=("depth",), **changes) == []


def test_maps_that_a_method_is_not_given_are_nothing_to_it(tmp_path, listed):
    record_all(tmp_path, listed, Counting())
    listed.given = [replace(case, maps=None) for case in listed.given]
    assert asked_now(tmp_path, listed) == []


def test_a_picture_that_changed_is_never_read_as_an_answer(tmp_path, listed):
    """Between asking and scoring: a fault that names the file."""
    done = record_all(tmp_path, listed, Counting()).methods["some"]
    first, second = listed.given[:2]
    path = tmp_path / "some" / f"{first.name}.background.png"
    path.write_bytes((tmp_path / "some" / f"{second.name}.background.png").read_bytes())
    with pytest.raises(BadSetup, match=r"background\.png is not the picture that was recorded; evaluate again"):
        done.answer(first)
    with pytest.raises(BadSetup, match=r"no answer of some for .* as it is now"):
        done.answer(replace(second, mask=~second.mask))
    with pytest.raises(BadSetup, match="no answer of some"):
        record_of(Store(str(tmp_path)), recipe(None, facts={"weights": "b"})).answer(second)


def test_failures_are_told_and_asked_again(tmp_path, listed):
    first = listed.given[0].name
    done = record_all(tmp_path, listed, Counting(fails=[first])).methods["some"]
    assert done.failures(names(listed)) == {first: "no idea"}
    found = [done.answer(case) for case in listed.given]
    assert found[0] == Failure("no idea") and all(isinstance(answer, Layers) for answer in found[1:])
    assert asked_now(tmp_path, listed) == [first]
    assert isinstance(read_records(str(tmp_path)).methods["some"].answer(listed.given[0]), Layers)


def test_a_failure_leaves_no_older_picture_behind(tmp_path, listed):
    first = listed.given[0].name
    record_all(tmp_path, listed, Counting())
    record_all(tmp_path, listed, Counting(fails=[first]), settings={"seed": 2})
    assert not list((tmp_path / "some").glob(f"{first}.*"))


def test_what_is_only_read_is_never_asked(tmp_path, listed):
    first = listed.given[0].name
    record_all(tmp_path, listed, Counting(fails=[first]))
    read = replace(recipe(None), make=None, only_read=True)
    done = record(listed, [read], Store(str(tmp_path))).methods["some"]
    assert done.answer(listed.given[0]) == Failure("no idea"), "a recorded failure stands"
    listed.given = [*listed.given[1:], replace(listed.given[0], name="00000009-0")]
    with pytest.raises(BadSetup, match=r"no answer for 1 of .* images .*\(00000009-0\).*recorded on another list"):
        record(listed, [read], Store(str(tmp_path)))


def test_two_of_one_name_lie_in_folders_of_their_own(tmp_path, listed):
    record_all(tmp_path, listed, Counting())
    champion = Counting()
    older = recipe(champion, folder="champion", facts={"weights": "older"})
    record(listed, [older], Store(str(tmp_path)))
    assert champion.asked == names(listed) and read_method(Store(str(tmp_path)), "champion").name == "some"
    assert asked_now(tmp_path, listed) == []


def test_some_of_the_list_is_asked_without_closing_it(tmp_path, listed):
    method = Counting()
    some = names(listed)[1:3]
    done = record(listed, [recipe(method)], Store(str(tmp_path)), set(some))
    assert method.asked == some == list(done.names) and not (tmp_path / "list.json").exists()
    assert asked_now(tmp_path, listed) == [name for name in names(listed) if name not in some]


def test_what_was_given_is_written_again_where_it_is_absent(tmp_path, listed):
    record_all(tmp_path, listed, Counting())
    case = listed.given[0]
    (tmp_path / "given" / f"{case.name}.mask.png").unlink()
    assert asked_now(tmp_path, listed) == []
    assert np.array_equal(read_records(str(tmp_path)).given(case.name)[1], case.mask)


def test_a_case_may_have_any_printable_name(tmp_path, listed):
    listed.given[0] = replace(listed.given[0], name="Schloß [1] 100%")
    done = record_all(tmp_path, listed, Counting())
    assert isinstance(done.methods["some"].answer(listed.given[0]), Layers)
    assert read_records(str(tmp_path)).names[0] == "Schloß [1] 100%"


def test_the_folder_says_what_is_in_it(tmp_path, listed):
    record_all(tmp_path, listed, Counting())
    for folder in (tmp_path, tmp_path / "some"):
        images = json.loads((folder / "list.json").read_text())["images"]
        assert [(image["name"], image["sha256"]) for image in images] == [(c.name, c.sha256) for c in listed.given]
    about = json.loads((tmp_path / "some" / "about.json").read_text())
    assert about["gives"] == sorted(BOTH) and about["facts"] == {"weights": "a"} and about["settings"] == {"seed": 0}


def test_names_that_cannot_name_a_file_are_refused(tmp_path, listed):
    for name in ("../up", "given"):
        with pytest.raises(BadSetup, match=r"cannot name a file|none of them given"):
            record_all(tmp_path, listed, Counting(), name=name)
    with pytest.raises(BadSetup, match="different names"):
        record(listed, [recipe(Counting())] * 2, Store(str(tmp_path)))
    assert not list(tmp_path.iterdir())
    listed.given = []
    with pytest.raises(BadSetup, match="holds no image"):
        record_all(tmp_path, listed, Counting())
