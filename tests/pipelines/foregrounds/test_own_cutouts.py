import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_rgba
from decoupage.images.types import Gray, Rgba
from pipelines.backgrounds.attribution import Attribution, attributions_csv
from pipelines.config import CutoutsConfig, GateConfig
from pipelines.foregrounds.own.files import CutoutFile, find_cutouts
from pipelines.foregrounds.own.reader import MAX_SIDE_PX, CutoutReader, unmixed
from pipelines.foregrounds.own.stage import OwnCutouts
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store

GATES = GateConfig(min_area_px=100)
RULES = CutoutsConfig().alphas


def disc(size_px: int = 96, radius_px: float = 34.0) -> Gray:
    """A disc with an outline of two soft pixels."""
    rows, columns = np.mgrid[:size_px, :size_px] - (size_px - 1) / 2
    distance = np.hypot(rows, columns)
    return np.rint((np.clip(radius_px - distance, -1, 1) + 1) / 2 * 255).astype(np.uint8)


def ball(seed: int = 0, size_px: int = 96) -> Rgba:
    """A textured ball."""
    texture = np.random.default_rng(seed).integers(60, 256, (6, 6, 3), np.uint8)
    colour = cv2.resize(texture, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return np.dstack([colour, disc(size_px, size_px * 0.35)])


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def read(folder: Path, config: CutoutsConfig | None = None, attribution: Attribution | None = None) -> tuple:
    """(pixels, record) of the only cutout of a folder."""
    config = config or CutoutsConfig()
    (file,) = find_cutouts(Store(str(folder)).tree(), config.alphas)
    data, record = CutoutReader(Store(str(folder)), config, GATES).read((file, attribution))
    return decode_rgba(data), record


# ---- which files are cutouts


@pytest.mark.parametrize("suffix", ["png", "webp", "avif", "tiff"])
def test_every_format_with_alpha_is_a_cutout_of_its_folders_category(tmp_path: Path, suffix: str) -> None:
    lossless = {"webp": {"lossless": True, "exact": True}, "avif": {"quality": 95}}.get(suffix, {})
    save(tmp_path / f"animals/birds/owl.{suffix}", ball(), **lossless)
    pixels, record = read(tmp_path)
    assert (record.kind, record.source, record.category) == ("real", "cutouts", "birds")
    assert record.completeness == "unknown" and record.origin == "animals/birds/owl" and record.licence == "unknown"
    left, top = 96 // 2 - pixels.shape[1] // 2, 96 // 2 - pixels.shape[0] // 2
    given_alpha = disc(96, 96 * 0.35)[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    assert np.abs(pixels[..., 3].astype(int) - given_alpha).mean() < 3


@pytest.mark.parametrize(
    ("picture", "alpha", "category"),
    [
        ("toys/ball.jpg", "toys/ball_alpha.png", "toys"),
        ("toys/ball.jpg", "toys/ball-mask.png", "toys"),
        ("toys/image/ball.jpg", "toys/alpha/ball.png", "toys"),
        ("image/ball.jpg", "mask/ball.webp", ""),
    ],
)
def test_an_alpha_may_be_a_file_of_its_own(tmp_path: Path, picture: str, alpha: str, category: str) -> None:
    save(tmp_path / picture, ball()[..., :3], quality=95)
    save(tmp_path / alpha, disc(96, 96 * 0.35), lossless=True)
    pixels, record = read(tmp_path)
    assert record.category == category and record.origin == picture.removesuffix(".jpg")
    assert pixels[..., 3].max() == 255 and (pixels[[0, -1]][..., 3] < 255).all()


names = st.text("abc", min_size=1, max_size=3)


@given(st.sets(st.tuples(st.sampled_from(["", "a/", "b/image/", "b/alpha/"]), names, st.sampled_from(RULES[:2]))))
def test_each_picture_is_either_a_cutout_or_the_alpha_of_one(found: set[tuple[str, str, str]]) -> None:
    paths = sorted(
        {f"{folder}{name}.png" for folder, name, _ in found}
        | {f"{folder}{rule.format(name=name)}.png" for folder, name, rule in found}
    )
    cutouts = list(find_cutouts(paths, RULES))
    alphas = {alpha for cutout in cutouts for alpha in cutout.alphas}
    named_by_alphas = {cutout.path for cutout in cutouts} | alphas
    assert {cutout.path for cutout in cutouts}.isdisjoint(alphas)
    # What neither is a cutout nor belongs to one is the alpha of an alpha.
    assert all("_" in path or "/alpha/" in path for path in set(paths) - named_by_alphas)


@pytest.mark.parametrize("rule", ["alpha", "{name}", "../../{name}", "/alpha/{name}", "{name}{name}", "..\\{name}"])
def test_rules_that_name_no_alpha_are_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"must hold \{name\} once"):
        CutoutsConfig(alphas=(rule,))


# ---- what is read of one


def test_colours_of_what_lay_behind_are_taken_out_of_a_soft_outline() -> None:
    alpha = disc(160, 50.0)
    soft = cv2.GaussianBlur(alpha, (0, 0), 4)
    weight = soft[..., None] / 255
    truth = cv2.resize(np.random.default_rng(3).integers(90, 256, (5, 5, 3), np.uint8), (160, 160))
    behind = np.full_like(truth, (10, 120, 20))
    mixed = np.rint(truth * weight + behind * (1 - weight)).astype(np.uint8)
    outline = (soft > 25) & (soft < 230)
    found = unmixed(mixed, soft)
    error = [np.abs(picture[outline].astype(int) - truth[outline]).mean() for picture in (mixed, found)]
    assert error[1] < error[0] / 3
    assert (found[soft == 255] == mixed[soft == 255]).all()


def test_a_photograph_and_its_alpha_are_turned_upright_both(tmp_path: Path) -> None:
    pixels = ball()
    turned = Image.fromarray(np.rot90(pixels[:, :70, :3]).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise when shown.
    turned.save(tmp_path / "ball.jpg", exif=exif, quality=95)
    save(tmp_path / "ball_alpha.png", pixels[:, :70, 3])
    found, _ = read(tmp_path)
    assert found.shape[0] > found.shape[1] and np.abs(found[20:40, 20:40, :3].astype(int)).mean() > 40


def test_declared_complete_means_all_that_no_border_cuts(tmp_path: Path) -> None:
    declared = CutoutsConfig(completeness="complete")
    save(tmp_path / "whole/ball.png", ball())
    assert read(tmp_path / "whole", declared)[1].completeness == "complete"
    save(tmp_path / "cut/ball.png", ball()[:70])
    record = read(tmp_path / "cut", declared)[1]
    assert (record.completeness, record.cut_sides) == ("cut", "b")


def test_large_cutouts_are_reduced(tmp_path: Path) -> None:
    save(tmp_path / "ball.png", ball(size_px=2600), compress_level=1)
    pixels, record = read(tmp_path)
    assert max(pixels.shape[:2]) == pytest.approx(MAX_SIDE_PX * 0.7, abs=4) == max(record.width_px, record.height_px)


def test_a_line_of_attribution_decides_origin_licence_and_caption(tmp_path: Path) -> None:
    save(tmp_path / "ball.png", ball())
    line = Attribution("photo-7", "cc-by-4.0", "A. Author", "a red ball", 0)
    record = read(tmp_path, CutoutsConfig(licence="cc0-1.0"), line)[1]
    assert (record.origin, record.licence, record.attribution) == ("photo-7", "cc-by-4.0", "A. Author")
    assert record.caption == "a red ball"
    assert read(tmp_path, CutoutsConfig(licence="cc0-1.0"))[1].licence == "cc0-1.0"


# ---- bad files


def huge_png() -> bytes:
    """The head of a PNG of 200 megapixels."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = (20_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def with_alphas(folder: Path, **alphas: np.ndarray) -> None:
    """A picture without alpha, and files beside it."""
    save(folder / "thing.png", ball()[..., :3])
    for name, alpha in alphas.items():
        save(folder / f"{name}.png", alpha)


def linked_out(folder: Path) -> None:
    save(folder.parent / "elsewhere.png", ball())
    (folder / "thing.png").symlink_to(folder.parent / "elsewhere.png")


BAD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "text": ("bad_image", lambda folder: (folder / "thing.png").write_text("not a picture")),
    "200 MP": ("too_large", lambda folder: (folder / "thing.png").write_bytes(huge_png())),
    "opaque": ("no_alpha", with_alphas),
    "CMYK photograph": (
        "no_alpha",
        lambda folder: Image.fromarray(ball()[..., :3]).convert("CMYK").save(folder / "thing.jpg"),
    ),
    "alpha of another size": ("shape_mismatch", lambda folder: with_alphas(folder, thing_alpha=disc(64))),
    "coloured alpha": ("bad_alpha", lambda folder: with_alphas(folder, thing_alpha=ball()[..., :3])),
    "two alphas": ("ambiguous", lambda folder: with_alphas(folder, thing_alpha=disc(), thing_mask=disc())),
    "link out": ("outside", linked_out),
    "link to nothing": ("missing_image", lambda folder: (folder / "thing.png").symlink_to(folder / "absent.png")),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_refused_with_a_reason(tmp_path: Path, what: str) -> None:
    reason, write = BAD[what]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    with pytest.raises(BadItem) as fault:
        read(tmp_path / "in")
    assert fault.value.reason == reason and "thing" in fault.value.detail


def test_the_stage_counts_what_it_refuses_and_makes_again_what_changed(tmp_path: Path) -> None:
    folder, root = tmp_path / "in", Store(str(tmp_path / "root"))
    for i in range(6):
        save(folder / f"toys/ball{i}.png", ball(i))
    (folder / "thing.png").write_text("not a picture")
    lines = {f"toys/ball{i}.png": Attribution(f"shoot-{i}", "cc0-1.0", "me", "", 0) for i in range(6)}
    (folder / "attribution.csv").write_bytes(attributions_csv(lines))

    def make() -> dict[str, list]:
        stage = OwnCutouts(Store(str(folder)), CutoutsConfig(source="folder", folder=str(folder), num_shards=2), GATES)
        report = run_stage(stage, root, SerialEngine())
        rows = [
            row for s in report.shards for row in pq.read_table(f"{root.root}/{stage.name}/{s}.parquet").to_pylist()
        ]
        return {"rows": rows, "drops": report.drops, "made": report.num_made}

    first = make()
    assert {row["origin"] for row in first["rows"]} == {f"shoot-{i}" for i in range(6)}
    assert [drop["reason"] for drop in first["drops"]] == ["bad_image"] and first["made"] == 2
    quarantine = (tmp_path / "root/quarantine/foregrounds-cutouts.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in quarantine] == ["thing.png"]
    assert make()["made"] == 0
    save(folder / "toys/ball9.png", ball(9))
    again = make()
    assert again["made"] == 1 and len(again["rows"]) == 7


def test_an_empty_folder_stops_before_work(tmp_path: Path) -> None:
    stage = OwnCutouts(Store(str(tmp_path)), CutoutsConfig(source="folder", folder=str(tmp_path)), GATES)
    with pytest.raises(BadSetup, match=r"holds no pictures .* set cutouts\.folder"):
        stage.inputs("00000")


def test_two_files_that_differ_in_their_suffix_have_two_ids_and_one_origin(tmp_path: Path) -> None:
    reader = CutoutReader(Store(str(tmp_path)), CutoutsConfig(), GATES)
    for suffix in ("png", "webp"):
        save(tmp_path / f"ball.{suffix}", ball(), lossless=True)
    records = [reader.read((CutoutFile(f"ball.{suffix}", (), ""), None))[1] for suffix in ("png", "webp")]
    assert len({record.id for record in records}) == 2 and {record.origin for record in records} == {"ball"}
