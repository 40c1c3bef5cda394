"""The index: what is found where, which part it is of, and what is refused."""

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from decoupage.randomness import hash64
from pipelines.config.foregrounds import LaionConfig
from pipelines.foregrounds.mulan.files import key_of, part_of
from pipelines.foregrounds.mulan.index import SCHEMA, scan
from pipelines.foregrounds.mulan.provenance import read_links
from tests.pipelines.foregrounds.mulan.trees import COCO_TRAIN, COCO_VAL, LAION, annotate


def test_parts_are_counted_and_a_clash_is_refused(tmp_path: Path) -> None:
    annotate(tmp_path, COCO_TRAIN, COCO_VAL, below="a/deep")
    annotate(tmp_path, LAION, below="b")
    annotate(tmp_path, COCO_VAL, LAION, "1x", below="c")
    index = scan(tmp_path / "annotations", 3)
    assert index.num_by_part == {"coco": 2, "laion": 1, "other": 1} and index.num_clashes == 2
    refused = [entry.file for entry in index.entries() if entry.file.first_with_id]
    assert {(file.id, str(file.first_with_id)) for file in refused} == {
        (COCO_VAL, str(tmp_path / f"annotations/a/deep/{COCO_VAL}.p.zl")),
        (LAION, str(tmp_path / f"annotations/b/{LAION}.p.zl")),
    }
    assert {entry.file.path.parent.name for entry in index.entries() if entry.file.first_with_id} == {"c"}


def test_the_parts_do_not_clash_where_their_numbers_are_the_same(tmp_path: Path) -> None:
    annotate(tmp_path, COCO_TRAIN, LAION)
    assert int(COCO_TRAIN) == int(LAION) and scan(tmp_path / "annotations", 1).num_clashes == 0
    # A name that looks like another part's key does not become it.
    annotate(tmp_path, f"laion-{LAION}")
    keys = {entry.file.key for entry in scan(tmp_path / "annotations", 1).entries()}
    assert keys == {COCO_TRAIN, f"laion-{LAION}", f"other-laion-{LAION}"}


@given(st.lists(st.from_regex(r"(laion-|other-)*([0-9]{8,13}|[a-z]{1,5})", fullmatch=True), unique=True))
def test_keys_tell_parts_apart(ids: list[str]) -> None:
    assert len({key_of(id) for id in ids}) == len(ids)
    numbers = {12: "coco", 9: "laion"}
    assert all(part_of(id) == (numbers.get(len(id), "other") if id.isdigit() else "other") for id in ids)


def test_each_file_is_in_the_shard_of_its_hash_and_in_one_row_group(tmp_path: Path) -> None:
    ids = [f"{number:012d}" for number in range(40)]
    annotate(tmp_path, *ids[::2], below="one")
    annotate(tmp_path, *ids[1::2], below="two")
    index = scan(tmp_path / "annotations", 5)
    for shard in range(6):
        found = [entry.file.id for entry in index.entries(shard)]
        expected = [id for id in [*ids[::2], *ids[1::2]] if hash64("mulan", id) % 5 == shard]
        assert found == expected
    assert len(index) == len(list(index.entries())) == 40
    sizes = {entry.file.id: entry.file.path.stat().st_size for entry in index.entries()}
    assert {entry.file.id: entry.num_bytes for entry in index.entries()} == sizes
    assert index.num_bytes == sum(sizes.values())
    file = pq.ParquetFile(io.BytesIO(index.to_parquet()))
    assert file.schema_arrow.equals(SCHEMA) and file.num_row_groups == 5
    assert set(file.read_row_group(3)["shard"].to_pylist()) == {3}


def test_the_hash_is_of_names_and_sizes_alone(tmp_path: Path) -> None:
    annotate(tmp_path, COCO_TRAIN, COCO_VAL)
    folder = tmp_path / "annotations"
    before = scan(folder, 2)
    assert scan(folder, 7).sha256 == before.sha256 and scan(folder, 2).to_parquet() == before.to_parquet()
    (folder / f"{COCO_VAL}.p.zl").write_bytes(b"another size")
    assert scan(folder, 2).sha256 != before.sha256


def links(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_links_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    columns = LaionConfig(use=True, id_column="key", url_column="address")
    text = (
        "note, address, key\n"
        "a,http://h/1.jpg,9\n"
        "b,http://h/a b(c)<d>\u00e9.jpg,000000010.jpg\n"
        "c,,11\n"
        "d,http://h/coco.jpg,000000000139\n"
    )
    found = read_links(links(tmp_path / "l.csv", "\ufeff" + text), columns)
    assert found == {"000000009": "http://h/1.jpg", "000000010": "http://h/a%20b%28c%29%3Cd%3E%C3%A9.jpg"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,annotation\na,b\n", r"id_column.*lacks the columns file_id, url; its heading is: image, annotation"),
        ("file_id,url\n9,http://h/1\n000000009,http://h/2\n", "gives 000000009 two addresses, the second in line 3"),
        (f'file_id,url\n9,"{"x" * 140_000}"\n', "line 2: field larger than"),
        ("file_id,url\n9\n", "line 2: 1 values, the heading has 2"),
        ('file_id,url\n9,"http://h/1\n', "line 2: unexpected end of data"),
        ("", "is empty; it must be a table with the columns"),
    ],
)
def test_links_that_cannot_be_used_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadSetup, match=message):
        read_links(links(tmp_path / "l.csv", text), LaionConfig(use=True))
    (tmp_path / "l.csv").write_bytes("file_id,url\n9,http://h/\u00e9\n".encode("latin-1"))
    with pytest.raises(BadSetup, match=r"line 2, byte 12 \(e9\) is not UTF-8"):
        read_links(tmp_path / "l.csv", LaionConfig(use=True))
    with pytest.raises(BadSetup, match="No such file"):
        read_links(tmp_path / "absent.csv", LaionConfig(use=True))
