"""Lists of evaluation pictures: every form that they come in, and forms that protect nothing."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadSetup
from decoupage.images.reading import read_picture
from pipelines.library.evaluation_lists import names_of, read_evaluation_list
from pipelines.library.picture_hashes import CACHE, HashCache
from pipelines.stages.store import Store
from tests.library import write_photographs


@pytest.fixture
def cache(tmp_path):
    return HashCache(Store(str(tmp_path / "root")))


def test_a_text_a_csv_and_a_parquet_name_the_same_pictures(tmp_path, cache):
    (tmp_path / "ids.txt").write_text("# the test split\n000000000139\n\n000000000285  # a bear\n")
    (tmp_path / "ids.csv").write_text("image_id,split\n139,test\n285,test\n")
    (tmp_path / "paths.csv").write_text('"file_name"\nval2017/000000000139.jpg\nval2017/000000000285.jpg\n')
    pq.write_table(pa.table({"image_id": [139, 285]}), tmp_path / "ids.parquet")
    for name in ("ids.txt", "ids.csv", "paths.csv", "ids.parquet"):
        found = read_evaluation_list(str(tmp_path / name), cache)
        assert {"000000000139", "000000000285"} <= found.names, name
        assert not found.pictures


def test_names_of_an_entry():
    assert names_of("a/b/7d3f0c1e2b4a5968.JPG") == {"a/b/7d3f0c1e2b4a5968.JPG", "7d3f0c1e2b4a5968"}
    assert names_of(" rendered:animal/cat/0 ") == {"rendered:animal/cat/0", "0"}
    assert names_of("  ") == set()


def test_a_folder_is_hashed_once(tmp_path, cache, monkeypatch):
    folder = tmp_path / "pictures"
    write_photographs(Store(str(folder / "deep")), (1, 2))
    first = read_evaluation_list(str(folder), cache)
    assert set(first.pictures) == {"deep/photo1.png", "deep/photo2.png"}
    assert all(len(set(found.hashes)) == 8 for found in first.pictures.values())
    cache.save()
    assert cache.store.exists(CACHE)
    opened = []
    monkeypatch.setattr(
        "pipelines.library.evaluation_lists.read_picture", lambda data, **_: opened.append(data) or read_picture(data)
    )
    assert read_evaluation_list(str(folder), HashCache(cache.store)) == first
    assert not opened
    (folder / "deep/photo1.png").write_bytes((folder / "deep/photo2.png").read_bytes())
    read_evaluation_list(str(folder), HashCache(cache.store))
    assert len(opened) == 1


def test_names_in_a_folder_count_only_where_they_are_published_ids(tmp_path, cache):
    folder = tmp_path / "pictures"
    for name in ("01", "000000000139", "7d3f0c1e2b4a5968"):
        write_photographs(Store(str(folder)), (3,))
        (folder / "photo3.png").rename(folder / f"{name}.png")
    assert read_evaluation_list(str(folder), cache).names == {"000000000139", "7d3f0c1e2b4a5968"}


def test_a_picture_that_cannot_be_read_is_told(tmp_path, cache):
    folder = tmp_path / "pictures"
    write_photographs(Store(str(folder)), (1,))
    (folder / "broken.jpg").write_bytes(b"no picture")
    found = read_evaluation_list(str(folder), cache)
    assert found.unreadable == ("broken.jpg (bad_image)",) and found.num_entries == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"# nothing\n", "holds no id"),
        ("other.csv", b"colour\nred\n", "none of the columns"),
        ("damaged.parquet", b"PAR1 no", "damaged"),
        ("latin.txt", b"one\nRen\xe9\n", "line 2, byte 4 .e9. is not UTF-8"),
        ("utf16.txt", "one".encode("utf-16"), "is UTF-16"),
        ("short.csv", b"id,file\none\n", "line 2: 1 values"),
    ],
)
def test_a_list_that_protects_nothing_is_refused(tmp_path, cache, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadSetup, match=message):
        read_evaluation_list(str(tmp_path / name), cache)


def test_a_list_that_is_not_there_and_an_empty_folder_are_refused(tmp_path, cache):
    with pytest.raises(BadSetup, match="which does not exist"):
        read_evaluation_list(str(tmp_path / "absent.txt"), cache)
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadSetup, match="holds no pictures"):
        read_evaluation_list(str(tmp_path / "folder"), cache)
