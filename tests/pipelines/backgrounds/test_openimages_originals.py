"""The authors' own files of OpenImages' photographs: used where they are the same pictures, else the mirror's."""

import base64
import hashlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_rgb, encode_jpeg
from decoupage.images.types import Rgb
from pipelines.backgrounds.openimages import originals
from pipelines.backgrounds.openimages.fetch import PhotographsReport, fetch_openimages
from pipelines.backgrounds.openimages.originals import NotUsed, md5_hex, reduced
from pipelines.backgrounds.requirements import requirements
from pipelines.backgrounds.stage import BackgroundsStage
from pipelines.config import BackgroundConfig, OpenImagesConfig
from pipelines.library.assets import Assets
from pipelines.library.catalogue import read_backgrounds
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.pipelines.backgrounds.lists import box, id_of, image, label, lists
from tests.pipelines.downloads.server import Files, serving

NUM = 8
GONE, CHANGED, OTHER, SMALL, UNLISTED, BROKEN, TURNED, PLAIN = range(NUM)
PATHS = [f"train/{id_of(number)}.jpg" for number in range(NUM)]
OUTCOMES = {
    "original": 2, "gone": 1, "changed": 1, "other_picture": 1, "no_larger": 1, "not_listed": 1, "truncated": 1,
}  # fmt: skip
EXIF_ORIENTATION, TURN_RIGHT = 0x0112, 6


def picture(seed: int) -> Rgb:
    """[1200, 1600, 3] squares of 20 px in random colours, darker to the bottom."""
    squares = np.random.default_rng(seed).integers(0, 256, (60, 80, 3)) * np.linspace(1, 0.3, 60)[:, None, None]
    return np.kron(squares.astype(np.uint8), np.ones((20, 20, 1), np.uint8))


def smaller(rgb: Rgb, width: int = 1024) -> Rgb:
    return cv2.resize(rgb, (width, round(width * rgb.shape[0] / rgb.shape[1])), interpolation=cv2.INTER_AREA)


def with_tag(rgb: Rgb, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@pytest.fixture
def server():
    with serving({}) as files:
        rows = []
        for number, path in enumerate(PATHS):
            full = picture(number)
            files.content[path] = encode_jpeg(smaller(full), 90)
            data = encode_jpeg(full, 95)
            if number == OTHER:
                data = encode_jpeg(picture(99), 95)
            elif number == SMALL:
                data = encode_jpeg(smaller(full, 900))
            elif number == TURNED:  # The camera was held upright: its pixels lie on their side, with a tag.
                data = with_tag(np.ascontiguousarray(np.rot90(full)), TURN_RIGHT)
            elif number == BROKEN:
                data = data[: len(data) // 2]
            files.content[f"flickr/{number}_o.jpg"] = data
            row = image(id_of(number), OriginalURL=f"{files.url}/flickr/{number}_o.jpg", OriginalMD5=md5(data))
            rows.append(row | ({"OriginalMD5": ""} if number == UNLISTED else {}))
        del files.content[f"flickr/{GONE}_o.jpg"]
        files.content[f"flickr/{CHANGED}_o.jpg"] += b" "
        ids = [row["ImageID"] for row in rows]
        files.content |= lists(rows, [label(id, "Beach") for id in ids], [box(id, 0, 0.1, 0, 0.1) for id in ids])
        yield files


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("pipelines.downloads.worker.backoff_s", lambda *_: 0.01)


def config(server: Files, **changes: object) -> OpenImagesConfig:
    values = {
        "lists": server.url,
        "images": f"{server.url}/{{subset}}/{{id}}.jpg",
        "originals": True,
        "originals_mp": 1,
        "workers": 4,
        "timeout_s": 5.0,
        "max_attempts": 2,
    }
    return OpenImagesConfig(**values | changes)


def fetched(server: Files, folder: Path, **changes: object) -> PhotographsReport:
    return fetch_openimages(config(server, **changes), folder)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


def test_originals_take_the_mirrors_place_and_every_other_outcome_is_counted(server, tmp_path):
    report = fetched(server, tmp_path / "oi")
    assert report.originals.outcomes == OUTCOMES
    assert report.originals.paths == {PATHS[n]: f"originals-1mp/{PATHS[n]}" for n in (TURNED, PLAIN)}
    assert set(files_of(tmp_path / "oi")) == {*PATHS, *report.originals.paths.values()}
    backgrounds = BackgroundConfig(source="openimages", openimages=config(server), min_side_px=760)
    store, photographs = Store(str(tmp_path / "root")), Store(str(tmp_path / "oi"))
    stage = run_stage(BackgroundsStage(photographs, backgrounds, "openimages"), store, SerialEngine())
    records = {record.origin: record for record in read_backgrounds(store, "backgrounds")}
    assert len(records) == NUM and not stage.drops
    plain, gone = records[id_of(PLAIN)], records[id_of(GONE)]
    assert (plain.id, gone.id) == (f"openimages-originals-1mp-train-{id_of(PLAIN)}", f"openimages-train-{id_of(GONE)}")
    # 1 megapixel of 4:3 against the mirror's 1024 x 768.
    assert (plain.width_px, plain.height_px, gone.width_px) == (1154, 865, 1024)
    assert plain.width_px * plain.height_px <= 1_000_000 and "Ann, of course" in plain.attribution
    shown = Assets(store, photographs).photograph(plain)
    assert np.abs(smaller(shown, 400).astype(int) - smaller(picture(PLAIN), 400)).mean() < 3


def test_a_file_that_is_still_too_small_is_dropped_by_the_index_as_before(server, tmp_path):
    fetched(server, tmp_path / "oi")
    backgrounds = BackgroundConfig(source="openimages", openimages=config(server), min_side_px=800)
    stage = BackgroundsStage(Store(str(tmp_path / "oi")), backgrounds, "openimages")
    report = run_stage(stage, Store(str(tmp_path / "root")), SerialEngine())
    assert report.num_rows == 2 and report.drops_by_reason == {"too_small": 6}


@pytest.mark.parametrize("turns", range(4))
def test_an_original_is_turned_as_the_mirrors_pixels_are_whatever_its_tag_says(turns):
    full = picture(5)
    mirrored = decode_rgb(encode_jpeg(smaller(full), 80))
    for tag in (1, TURN_RIGHT, 8):
        turned = decode_rgb(with_tag(np.ascontiguousarray(np.rot90(full, turns)), tag))
        result = reduced(turned, mirrored, 1_000_000)
        assert result.shape == (865, 1154, 3)
        # Edges of the squares differ; a wrong turn differs everywhere, by about 60.
        assert np.abs(smaller(result, 400).astype(int) - smaller(full, 400)).mean() < 6


def test_a_mirrored_or_blank_picture_is_another_one():
    full = picture(5)
    for other in (full[:, ::-1], np.full_like(full, 90), full[:, :900]):
        with pytest.raises(NotUsed, match="other_picture"):
            reduced(np.ascontiguousarray(other), smaller(full), 1_000_000)


def test_nothing_is_asked_for_or_written_again_and_bytes_are_the_same_elsewhere(server, tmp_path):
    fetched(server, tmp_path / "oi")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "oi").rglob("*.*") if path.is_file()}
    asked = len(server.asked)
    again = fetched(server, tmp_path / "oi")
    assert (again.originals.outcomes, again.originals.num_bytes, len(server.asked)) == (OUTCOMES, 0, asked)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "oi").rglob("*.*") if path.is_file()} == before
    fetched(server, tmp_path / "elsewhere")
    assert files_of(tmp_path / "elsewhere") == files_of(tmp_path / "oi")


def test_a_server_that_is_away_is_asked_again_by_the_next_run(server, tmp_path):
    server.faults[f"flickr/{PLAIN}_o.jpg"].extend([503, 503])
    report = fetched(server, tmp_path)
    assert report.originals.outcomes == OUTCOMES | {"original": 1, "unreachable": 1}
    server.asked.clear()
    assert fetched(server, tmp_path).originals.outcomes == OUTCOMES
    assert [path for path, _ in server.asked] == [f"flickr/{PLAIN}_o.jpg"]


def test_the_budget_leaves_the_mirrors_files_and_the_next_run_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(originals, "BATCH", 2)
    few = fetched(server, tmp_path, originals_max_gb=1.5e-3, workers=1)
    left = few.originals.outcomes["left_out"]
    assert 0 < left < NUM and few.originals.num_bytes <= 1_500_000
    for _ in range(NUM):
        more = fetched(server, tmp_path, originals_max_gb=1.5e-3, workers=1)
    assert more.originals.outcomes == OUTCOMES
    assert max(server.num_asked[f"flickr/{number}_o.jpg"] for number in range(NUM)) == 1


def test_what_a_killed_run_left_is_used_or_removed(server, tmp_path, monkeypatch):
    calls = []

    def killed(self, path, outcome):
        calls.append(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(originals._Fetching, "_note", killed)
        with pytest.raises(KeyboardInterrupt):
            fetched(server, tmp_path)
    assert calls and list((tmp_path / "raw").rglob("*.jpg"))
    assert fetched(server, tmp_path).originals.outcomes == OUTCOMES
    done = f"raw/{PATHS[PLAIN]}"
    (tmp_path / done).write_bytes(b"whole, and reduced before the kill")
    fetched(server, tmp_path)
    assert not list((tmp_path / "raw").rglob("*.jpg"))
    assert max(server.num_asked[f"flickr/{number}_o.jpg"] for number in range(NUM) if number != GONE) == 1


def test_another_size_is_another_folder_and_the_mirrors_files_stay(server, tmp_path):
    fetched(server, tmp_path)
    larger = fetched(server, tmp_path, originals_mp=2)
    assert set(larger.originals.paths.values()) == {f"originals-2mp/{PATHS[n]}" for n in (TURNED, PLAIN)}
    assert fetched(server, tmp_path, originals=False).originals is None
    assert "originals" not in (tmp_path / "attribution.csv").read_text()


def test_a_network_that_is_down_stops_the_run_rather_than_leave_all_to_the_mirror(server, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.downloads.run._MAX_UNREACHABLE", 4)
    for number in range(NUM):
        server.faults[f"flickr/{number}_o.jpg"].extend([503, 503])
    with pytest.raises(BadSetup, match="4 files in a row could not be reached"):
        fetched(server, tmp_path, workers=1)


def test_md5_of_the_lists():
    assert md5_hex(md5(b"x")) == hashlib.md5(b"x", usedforsecurity=False).hexdigest()
    assert [md5_hex(text) for text in ("", "no base64!", "QUJD")] == ["", "", ""]


def test_the_doctor_counts_the_disk_of_originals(tmp_path):
    def disk(**changes):
        openimages = OpenImagesConfig(lists=str(tmp_path), max_gb=10, num_images=30_000, **changes)
        found = requirements(BackgroundConfig(source="openimages", openimages=openimages), str(tmp_path))
        return next(one.found for one in found if one.name == "openimages.folder")

    assert disk().startswith("at most 10.0 GB")
    # 30,000 x 3 megapixels x 0.4 MB, and 200 of at most 32 MiB on their way.
    assert disk(originals=True).startswith("at most 52.7 GB")
