"""Which pictures are for testing: by the rule once, by the frozen list after that, by the user's list before all."""

from pathlib import Path

import pytest

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines.foregrounds.mulan.split import FROZEN, Split, hash_of, read_list, to_text
from pipelines.stages.store import Store
from tests.pipelines.foregrounds.mulan.trees import COCO_TRAIN, COCO_VAL, LAION, annotate, make_source, photograph

LATER = "000000000285"


def make_tree(folder: Path) -> None:
    annotate(folder, COCO_TRAIN, COCO_VAL, LAION)
    photograph(folder, "train2017", COCO_TRAIN)
    photograph(folder, "val2017", COCO_VAL)
    photograph(folder, "laion", LAION)


def test_the_rule_is_frozen_once_and_kept_when_a_new_scan_disagrees(tmp_path: Path) -> None:
    make_tree(tmp_path)
    first = make_source(tmp_path).observe().split
    assert (first.origin, first.keys, first.added, first.absent) == ("frozen", {COCO_VAL}, (), ())
    text = (tmp_path / "root" / FROZEN).read_text()
    assert text == f"# sha256 {hash_of([COCO_VAL])}\n{COCO_VAL}\n"
    annotate(tmp_path, LATER, below="new")
    photograph(tmp_path, "val2017", LATER)
    (tmp_path / f"images/val2017/{COCO_VAL}.jpg").unlink()
    again = make_source(tmp_path).observe().split
    assert (again.keys, again.added, again.absent) == ({COCO_VAL}, (LATER,), (COCO_VAL,))
    assert "differ: 1 of val2017 are not on the list" in str(again) and f"remove {FROZEN}" in str(again)
    assert (tmp_path / "root" / FROZEN).read_text() == text
    (tmp_path / "root" / FROZEN).unlink()
    assert make_source(tmp_path).observe().split.keys == {LATER}


def test_nothing_is_frozen_before_pictures_of_val2017_are_there(tmp_path: Path) -> None:
    annotate(tmp_path, COCO_TRAIN, COCO_VAL)
    photograph(tmp_path, "train2017", COCO_TRAIN)
    assert make_source(tmp_path).observe().split.origin == "rule"
    photograph(tmp_path, "val2017", COCO_VAL)
    assert make_source(tmp_path).observe().split.keys == {COCO_VAL}


@pytest.mark.parametrize("change", ["", f"{LATER}\n", "\xff"])
def test_a_frozen_list_changed_by_hand_is_refused(tmp_path: Path, change: str) -> None:
    store = Store(str(tmp_path))
    text = to_text([COCO_VAL, COCO_TRAIN])
    store.write(FROZEN, text.encode())
    assert Split(store).keys() == {COCO_VAL, COCO_TRAIN}
    store.write(FROZEN, (text + change if change else text[:-14]).encode("latin-1"))
    with pytest.raises(BadSetup, match="damaged or edited"):
        Split(store).keys()


def test_a_users_list_wins_and_is_part_of_the_recipe(tmp_path: Path) -> None:
    make_tree(tmp_path)
    make_source(tmp_path).observe()
    given = tmp_path / "test_ids.txt"
    given.write_text(f"# the protocol\n{COCO_TRAIN}  # one\n\n{LAION}\n{LATER}\n")
    source = make_source(tmp_path, test_ids=str(given))
    split = source.observe().split
    assert split.origin == "profile" and split.keys == {COCO_TRAIN, f"laion-{LAION}", LATER}
    assert split.absent == (LATER,) and "1 of them have no annotation here" in str(split)
    assert source.split.keys() == split.keys
    plain, listed = make_source(tmp_path).split.recipe(), source.split.recipe()
    assert plain == {} and fingerprint(listed) != fingerprint(plain)
    given.write_text(f"laion-{LAION}\n{LATER}\n{COCO_TRAIN}\n")
    assert make_source(tmp_path, test_ids=str(given)).split.recipe() == listed
    given.write_text(f"{LATER}\n")
    assert make_source(tmp_path, test_ids=str(given)).split.recipe() != listed


@pytest.mark.parametrize(
    ("text", "message"),
    [("000000000139\n139\n", "line 2: '139' is not an id"), ("# nothing\n", "holds no id"), ("../../etc\n", "line 1")],
)
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(BadSetup, match=message):
        read_list(path)
    path.write_bytes("000000000139\n# caf\u00e9\n".encode("latin-1"))
    with pytest.raises(BadSetup, match=r"line 2, byte 6 \(e9\) is not UTF-8"):
        read_list(path)
    path.write_text("\ufeff000000000139\r\n", "utf-8")
    assert read_list(path) == {"000000000139"}
    path.write_text("000000000139\n", "utf-16")
    with pytest.raises(BadSetup, match="is UTF-16"):
        read_list(path)
    with pytest.raises(BadSetup, match="cannot be read"):
        read_list(tmp_path / "absent.txt")
