"""Pages from an evaluation's folder: they hold what they show, say what the report says, and ask for whole files."""

import json
import re

import pytest

from decoupage.faults import BadSetup
from evaluation.metrics.catalogue import FID_NOTE
from evaluation.page import render
from evaluation.page.write import write_pages
from tests.evaluation.page.reports import fails_on, judged
from tests.evaluation.scenes import cases, recipe_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    judged(out)
    write_pages(str(out))
    return out


@pytest.fixture(scope="module")
def values(folder):
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text()


def test_the_page_needs_nothing_from_anywhere(page):
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "default-src 'none'" in page and "@import" not in page and "url(" not in page
    for link in re.findall(r'href="#(\w+)"', page):
        assert f'id="{link}"' in page


def test_words_from_outside_are_no_markup(page, folder):
    assert "graph &lt;regions&gt;" in page and "SegFormer &amp; Co" in page and "<regions>" not in page
    text = (folder / "report.md").read_text()
    assert "out of \\| memory &lt;here>" in text and "graph &lt;regions>" in text


def test_both_pages_say_what_the_report_says(page, folder, values):
    text = (folder / "report.md").read_text()
    for part, name, digits in (("background", "psnr_mask", 2), ("foreground", "soft_iou", 3)):
        cell = values["methods"]["adapter"][part][name]
        assert cell["low"] is not None
        for said in (page, text):
            assert f"{cell['mean']:.{digits}f}" in said and f"{cell['low']:.{digits}f} …" in said
    (failed,) = values["failures"]["base"]
    for said in (page, text):
        for words in (
            values["list_sha256"],
            failed,
            "telea_grown",
            "lpips_whole",
            "mask_error".replace("_", " "),
            "clutter",
        ):
            assert words in said


def test_better_inside_and_worse_around_is_said_so_at_the_top(folder, tmp_path, values):
    shown = json.loads(json.dumps(values))
    cells = shown["differences"]["adapter-base"]["background"]
    counts = {"num_images": 187, "num_photographs": 30, "num_origins": 18}
    for name, ends in (
        ("psnr_mask", (0.8, 1.1, 1.4)),
        ("psnr_ring", (-1.94, -1.68, -1.43)),
        ("ssim_mask", (-0.031, -0.028, -0.025)),
        ("psnr_whole", (-0.1, 0.1, 0.3)),
    ):
        cells[name] = dict(zip(("low", "mean", "high"), ends, strict=True)) | counts
    (tmp_path / "report.json").write_text(json.dumps(shown))
    (tmp_path / "gallery.json").write_bytes((folder / "gallery.json").read_bytes())
    write_pages(str(tmp_path))
    page, text = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
    after = "better (PSNR, where the target shows), but worse (PSNR, around it; SSIM, where the target shows)"
    assert f"**`adapter` against `base`: {after}**" in text
    assert '<div class="tile mixed">' in page and f": {after}</span>" in page
    assert '<i class="worse">\u22121.68 dB</i> PSNR, around it' in page
    assert "is better than <code>base</code>" not in page and "`adapter` is better than `base`" not in text
    # Without what is worse it is better again.
    cells["psnr_ring"], cells["ssim_mask"] = cells["psnr_whole"], cells["psnr_whole"]
    (tmp_path / "report.json").write_text(json.dumps(shown))
    write_pages(str(tmp_path))
    assert "**`adapter` is better than `base`**" in (tmp_path / "report.md").read_text()


def test_every_table_names_the_best_and_never_the_untouched_picture(folder):
    text = (folder / "report.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert any("**" in row for row in rows if row.startswith("| `adapter`"))
    assert not any("**" in row for row in rows if row.startswith("| `input`"))


def test_failures_are_counted_named_and_shown(page, values):
    (failed,) = values["failures"]["base"]
    assert "Cases without an output" in page
    assert re.search(r'class="frame none"[^>]*>no output: RuntimeError: out of \| memory &lt;here&gt;', page)
    section = page[page.index('id="failures"') : page.index('id="missing"')]
    assert f"1 of {values['num_images']} images" in section and failed in section


def test_many_failures_do_not_make_the_page_long(tmp_path, monkeypatch):
    given = cases(8)
    judged(tmp_path, given, [recipe_of(fails_on({case.name for case in given}))])
    monkeypatch.setattr(render, "MAX_FAILURES", 3)
    write_pages(str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    section = page[page.index('id="failures"') : page.index('id="missing"')]
    assert section.count("<li>") == 3 and f"and {len(given) - 3} more" in section


def test_where_fid_stands_its_n_and_what_n_does_stand_too(folder, tmp_path, values):
    assert FID_NOTE not in (folder / "report.md").read_text()
    measured = json.loads(json.dumps(values))
    measured["methods"]["adapter"]["background"]["fid_whole"] = {
        "mean": 87.25,
        "low": None,
        "high": None,
        "num_images": 15,
        "num_photographs": 7,
        "num_origins": 15,
    }
    measured["notes"] = {"background.fid_whole": FID_NOTE}
    (tmp_path / "report.json").write_text(json.dumps(measured))
    (tmp_path / "gallery.json").write_bytes((folder / "gallery.json").read_bytes())
    write_pages(str(tmp_path))
    for name, cell in (("report.html", "87.25<small>N = 15"), ("report.md", "87.25 (N = 15)")):
        said = (tmp_path / name).read_text()
        assert FID_NOTE in said and cell in said


def test_the_same_files_give_the_same_pages(folder, page):
    text = (folder / "report.md").read_bytes()
    write_pages(str(folder))
    assert (folder / "report.html").read_text() == page and (folder / "report.md").read_bytes() == text


def test_a_list_of_one_image_and_one_method_is_no_fault(tmp_path):
    judged(tmp_path, cases(1)[:1], [recipe_of(fails_on(set()))])
    write_pages(str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "no interval" in page and "Too few images for a curve" in page and "No two methods to compare ran" in page


def test_files_that_are_not_there_or_not_of_one_evaluation_are_refused(folder, tmp_path):
    with pytest.raises(BadSetup, match="evaluate first"):
        write_pages(str(tmp_path))
    for name, content, said in (
        ("report.json", b"{", "not JSON"),
        ("gallery.json", b"[]", "not a JSON object"),
        ("gallery.json", b'{"list_sha256": "other"}', "shows the list other"),
    ):
        broken = tmp_path / f"{name}-{said[:5]}"
        broken.mkdir()
        for file in ("report.json", "gallery.json"):
            (broken / file).write_bytes((folder / file).read_bytes())
        (broken / name).write_bytes(content)
        with pytest.raises(BadSetup, match=said):
            write_pages(str(broken))
        assert not (broken / "report.html").exists()
