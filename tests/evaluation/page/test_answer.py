"""The answer that a report leads with: the right rival, one sentence, counts and a scale, good or bad."""

import copy
import json
import re

import pytest

from evaluation.page.answer import answer, scales
from evaluation.page.differences import counts_of, headline_differences
from evaluation.page.write import write_pages
from tests.evaluation.page.reports import judged

MANY = {"num_images": 187, "num_photographs": 30, "num_origins": 18}
FEW = MANY | {"num_photographs": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("answer")
    judged(out)
    return out


@pytest.fixture
def values(folder):
    return copy.deepcopy(json.loads((folder / "report.json").read_text()))


def cell(mean, reach, counts=MANY):
    return {"mean": mean, "low": mean - reach, "high": mean + reach, **counts}


def against(values, background, foreground=None, best="smooth", counts=MANY, cutout="given_mask", **others):
    """The same report with other differences to the best rivals, all of +- 0.001, others of the background by name."""
    for name, found in values["methods"].items():
        if found["background"]["psnr_mask"]:
            found["background"]["psnr_mask"]["mean"] = 50.0 if name == best else 20.0
        if found["foreground"]["soft_iou"]:
            found["foreground"]["soft_iou"]["mean"] = 0.8 if name == cutout else 0.5
    for pair, part, main, mean in (
        (f"adapter-{best}", "background", "psnr_mask", background),
        (f"adapter-{cutout}", "foreground", "soft_iou", foreground),
    ):
        cells = values["differences"][pair][part]
        for name in cells:
            cells[name] = cell(0.0, 1.0, counts) if cells[name] else None
        cells[main] = None if mean is None else cell(mean, 0.001, counts)
        if part == "background":
            cells.update({name: cell(of, 0.001, counts) for name, of in others.items()})
    return values


def test_yes_where_both_parts_are_better(values):
    found = answer(against(values, 0.52, 0.31))
    assert found.word == "Yes"
    assert found.sentence == (
        "Yes: its background is better than that of `smooth`, the best simple method (+0.52 dB PSNR where the target "
        "shows, 95\u00a0%: +0.52 … +0.52); its foreground is better than `given_mask` (+0.310 soft IoU, "
        "95\u00a0%: +0.309 … +0.311)."
    )


def test_the_best_cutout_may_be_another_than_the_given_mask(values):
    found = answer(against(values, 0.52, 0.31, cutout="grabcut"))
    assert "its foreground is better than that of `grabcut`, the best simple method (+0.310 soft IoU" in found.sentence


@pytest.mark.parametrize(
    ("background", "foreground", "word", "said"),
    [
        (0.52, -0.2, "In part", "its foreground is worse than `given_mask` (\u22120.200 soft IoU"),
        (-0.52, 0.2, "In part", "its background is worse than that of `smooth`, the best simple method (\u22120.52 dB"),
        (-0.52, -0.2, "No", "its background is worse than that of `smooth`"),
        (0.05, 0.001, "No", "its background differs too little to see from that of `smooth`"),
        (0.0, 0.0, "No", "its background cannot be told from that of `smooth`"),
        (0.05, 0.2, "In part", "differs too little to see"),
        (0.52, None, "Yes", "its background is better"),
        (-0.52, None, "No", "its background is worse"),
    ],
)
def test_what_is_said_in_every_case(values, background, foreground, word, said):
    found = answer(against(values, background, foreground))
    assert found.word == word and said in found.sentence and found.sentence.endswith(".")
    assert "worse by" not in found.sentence  # The first metric's own figure says it.


def test_not_known_where_photographs_are_too_few(values):
    found = answer(against(values, 5.0, 0.5, counts=FEW))
    assert found.word == "Not known" and "is undecided against that of `smooth`" in found.sentence
    assert "too few photographs: 3" in found.sentence and "+5.00 dB" in found.sentence


def test_what_is_better_first_and_worse_besides_is_no_yes(values):
    found = answer(against(values, 0.52, 0.31, psnr_ring_pasted=-1.0))
    assert found.word == "In part" and "is partly better and partly worse than that of `smooth`" in found.sentence
    assert "worse by PSNR, around it, pasted back" in found.sentence
    assert answer(against(values, 0.52, 0.31, psnr_ring_pasted=-0.05)).word == "Yes"  # Nobody sees that.
    found = answer(against(values, 0.0, -0.31, ssim_mask=-0.1))
    assert found.word == "No" and "worse by SSIM, where the target shows" in found.sentence


def test_the_rival_is_the_best_and_comes_first_everywhere(values, folder, tmp_path):
    for best in ("telea_grown", "biharmonic"):
        shown = against(copy.deepcopy(values), 0.52, 0.31, best)
        assert f"`{best}`, the best simple method" in answer(shown).sentence
        (background, foreground) = scales(shown)
        assert background.rows[0].name == best and background.rows[0].kind == "best simple method"
        assert {row.name for row in background.rows} == {
            *("telea", "telea_grown", "navier_stokes", "smooth", "smooth_grown", "biharmonic", "grabcut", "base")
        }
        assert {row.name for row in foreground.rows} == {"given_mask", "grabcut"}
        assert headline_differences(shown)[0].main.second == best
        (tmp_path / "report.json").write_text(json.dumps(shown))
        (tmp_path / "gallery.json").write_bytes((folder / "gallery.json").read_bytes())
        write_pages(str(tmp_path))
        page, text = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
        assert f"<code>{best}</code>, the best simple method" in page and f"`{best}`, the best simple method" in text
        assert re.search(r'class="tile \w+">.*?</div>', page, re.DOTALL)[0].count(f"<code>{best}</code>") == 1
        assert re.search(r'<div class="rival \w+ top"><div class="who"><code>(\w+)</code>', page)[1] == best
        rows = re.findall(r"^\| `(\w+)`", text[text.index("## Main figures") :], re.MULTILINE)
        assert rows[:3] == ["adapter", best, "given_mask"]


def test_verdicts_are_counted_by_their_intervals_and_small_ones_named(values):
    cells = against(values, 0.52, psnr_whole=0.05, ssim_mask=-0.1, psnr_ring=-0.03)["differences"]["adapter-smooth"]
    found = counts_of(values, "adapter-smooth")
    measured = sum(one is not None for part in cells.values() for one in part.values())
    assert (found.better, found.worse, found.unseen) == (2, 2, 2) and found.undecided == measured - 4
    assert found.words == f"2 better, 2 worse, {measured - 4} undecided (2 too small to see)"
    few = counts_of(against(values, 0.52, counts=FEW), "adapter-smooth")
    assert (few.better, few.worse, few.unseen) == (0, 0, 0)


def test_a_card_of_what_cannot_be_seen_is_neutral(values, folder, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(against(values, 0.05, 0.31)))
    (tmp_path / "gallery.json").write_bytes((folder / "gallery.json").read_bytes())
    write_pages(str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    first = page[page.index('<div class="tile ') :]
    assert first.startswith('<div class="tile unseen"><b class="unseen">+0.05 dB</b>')
    assert "<code>adapter</code> against <code>smooth</code>: too small to see" in first
    assert "**`adapter` against `smooth`: too small to see**" in (tmp_path / "report.md").read_text()


def test_marks_lie_where_their_numbers_are_on_a_scale_with_zero(values):
    scale = scales(against(values, 0.52))[0]
    places = {float(told.replace("\u2212", "-")): place for place, told in scale.ticks}
    assert scale.zero == places[0.0] and sorted(places.values()) == [places[number] for number in sorted(places)]
    low, high = min(places), max(places)
    for row in scale.rows:
        mean = row.difference.cell["mean"]
        share = (mean - low) / (high - low)
        assert row.mean == pytest.approx(places[low] + share * (places[high] - places[low]), abs=0.02)
        assert 0 < row.low <= row.mean <= row.high < 100 and (row.mean > scale.zero) == (mean > 0)
    means = [values["methods"][row.name]["background"]["psnr_mask"]["mean"] for row in scale.rows[:-1]]
    assert means == sorted(means, reverse=True)


def test_without_adapter_or_rival_there_is_no_answer(values):
    del values["differences"]["adapter-smooth"], values["differences"]["adapter-given_mask"]
    for name in [name for name in values["differences"] if name.startswith("adapter-")]:
        del values["differences"][name]
    assert answer(values) is None and scales(values) == []


def test_one_photograph_gives_no_interval_and_no_verdict(values):
    shown = against(values, 0.52, 0.31)
    for pair in ("adapter-smooth", "adapter-given_mask"):
        for cells in shown["differences"][pair].values():
            for one in filter(None, cells.values()):
                one.update(low=None, high=None, num_photographs=1)
    found = answer(shown)
    assert found.word == "Not known" and "no interval" in found.sentence
    assert scales(shown)[0].rows[0].low is None
