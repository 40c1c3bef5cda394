"""The table of ablations: figures, paired differences to the full row, and what is not compared and why."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from decoupage.faults import BadSetup
from evaluation.ablation_rows import PAPER_ROWS, ROW_NAMES, ROWS, SEEDS
from evaluation.ablations.records import RowRecord, report_folder, write_row
from evaluation.ablations.seeds import Seeds
from evaluation.ablations.table import TABLE, make_table, write_table
from evaluation.config import AblationsConfig, EvaluationConfig, GateConfig
from evaluation.gate.luck import luck_of
from evaluation.metrics.catalogue import find_metric
from evaluation.run import judge
from evaluation.saved_scores import read_scores
from evaluation.terminal import from_markdown
from pipelines.stages.store import Store
from tests.evaluation.scenes import Known, cases, recipe_of
from training.ablations import ROWS as TRAINED

CONFIG = EvaluationConfig(bootstrap_draws=200)
RECIPES = {row.name: f"recipe of {row.name}" for row in ROWS}
MADE_OF = {"data": "data0", "masks": "masks0", "rgba_vae": "codec0"}


class Listed:
    """A few scenes as a test set."""

    name = "few"
    __test__ = False

    def __init__(self, num_scenes):
        self.num_scenes = num_scenes

    @property
    def about(self):
        return {"test_set": self.name}

    def cases(self, names=None):
        return iter([case for case in cases(self.num_scenes) if names is None or case.name in names])


def adapter(darker):
    """The truth, its background this many levels darker."""

    def answer(case):
        from evaluation.method import Layers

        return Layers((case.background.astype(int) - darker).clip(0, 255).astype("uint8"), case.foreground)

    return Known("adapter", answer)


def make_row(store, row, darker=1, num_scenes=12, config=CONFIG, **facts):
    judge(Listed(num_scenes), [recipe_of(adapter(darker), darker=darker)], config, store.url(report_folder(row)))
    given = {"recipe": RECIPES[row], "identity": MADE_OF, "num_steps": 3, **facts}
    write_row(store, RowRecord(row, "judged", **given))


def by_row(table):
    return {row["row"]: row for row in table["rows"]}


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path))
    make_row(store, "paper", darker=1)
    return store


def test_the_rows_of_all_places_are_the_same_ten_and_two_seeds():
    assert list(ROW_NAMES) == list(TRAINED) == [row.name for row in ROWS]
    assert len(PAPER_ROWS) == 10 and (*PAPER_ROWS, *SEEDS[1:]) == ROW_NAMES and SEEDS[0] == "paper"
    assert AblationsConfig().rows == PAPER_ROWS


def test_the_papers_figures_are_those_of_its_table():
    paper = {row.name: row.paper for row in ROWS}
    assert paper["paper"] == {"psnr": 27.30, "ssim": 0.93, "lpips": 0.08, "fid": 25.97}
    assert {name: figures["psnr"] for name, figures in paper.items() if figures} == {
        "paper": 27.30, "rank_128": 26.34, "rank_1024": 27.15, "no_foreground_context": 27.04,
        "no_fused_context": 27.16, "no_generated_foregrounds": 27.18, "kontext_base": 26.22,
    }  # fmt: skip


def test_the_rows_that_differ_by_their_seed_give_its_spread(store):
    """1, 2 and 3 levels off: 48.1, 42.1 and 38.6 dB, so a standard deviation of 4.8."""
    assert make_table(store, CONFIG, RECIPES)["seeds"] is None
    make_row(store, "seed_1", darker=2, changes={"seed": 1})
    make_row(store, "seed_2", darker=3, changes={"seed": 2})
    make_row(store, "no_edges", darker=9)
    seeds = Seeds.from_dict(write_table(store, CONFIG, RECIPES)["seeds"])
    assert seeds.rows == SEEDS and seeds.recipes == tuple(RECIPES[row] for row in SEEDS)
    assert seeds.spread["background.psnr_mask"] == pytest.approx(np.std([48.13, 42.11, 38.59], ddof=1), abs=0.1)
    assert seeds.spread["foreground.soft_iou"] == 0 and "background.fid_whole" not in seeds.spread
    text = store.read("ablations/table.md").decode()
    assert max(map(len, from_markdown(text).splitlines())) <= 80
    assert "Spread of seeds, the standard deviation of 3 trainings" in text and "`psnr_mask`, dB 4." in text
    # Of another data set, or by an earlier recipe, it is no seed of this one.
    make_row(store, "seed_2", darker=3, identity={**MADE_OF, "data": "data1"})
    assert make_table(store, CONFIG, RECIPES)["seeds"]["rows"] == ("paper", "seed_1")
    assert make_table(store, CONFIG, {**RECIPES, "seed_1": "of today"})["seeds"] is None


def test_the_gate_asks_for_more_than_the_table_says_of_the_same_recipe_on_the_same_list(store):
    make_row(store, "seed_1", darker=2, changes={"seed": 1})
    table = write_table(store, CONFIG, RECIPES)
    terms, gate = table["seeds"]["terms"], GateConfig(min_gain=0.25)
    assert terms == read_scores(store, report_folder("paper"), "adapter").terms
    luck = luck_of(store, {"recipe": "recipe of paper"}, terms, gate)
    asked, why = luck.asked("background.psnr_mask", 2)
    assert asked == pytest.approx(12.71 * 2**0.5 * np.std([48.13, 42.11], ddof=1), rel=0.02) and "2 trainings" in why
    for identity, of in (({"recipe": "another"}, terms), ({"recipe": "recipe of paper"}, "another list"), ({}, terms)):
        asked, why = luck_of(store, identity, of, gate).asked("background.psnr_mask", 2)
        assert asked == 0.25 and why.startswith("spread of seeds not measured")
    store.write(TABLE, b'{"seeds": [1]}')
    with pytest.raises(BadSetup, match=r"table\.json is damaged"):
        luck_of(store, {"recipe": "recipe of paper"}, terms, gate)


def test_a_worse_row_differs_by_what_it_loses(store):
    make_row(store, "no_fused_context", darker=2, changes={"adapter.maps": ()})
    row = by_row(make_table(store, CONFIG, RECIPES))["no_fused_context"]
    assert row["status"] == "judged" and row["changes"] == {"adapter.maps": []} and row["note"] == ""
    # A level of difference doubles: its square is four times as large.
    lost = row["differences"]["background.psnr_mask"]
    assert lost["mean"] == pytest.approx(-6.02, abs=0.1) and lost["high"] < 0
    assert row["differences"]["foreground.soft_iou"]["mean"] == 0
    assert row["figures"]["background.psnr_mask"]["mean"] == pytest.approx(48.13 - 6.02, abs=0.2)
    assert row["differences"]["background.fid_whole"] is None and row["figures"]["background.fid_whole"] is None


def test_rows_without_a_training_say_so_and_those_that_do_not_apply_say_why(store):
    write_row(store, RowRecord("kontext_base", "does_not_apply", why="there is no such base"))
    table = write_table(store, CONFIG, RECIPES)
    rows = by_row(table)
    assert rows["no_depth"]["status"] == "not_trained" and rows["no_depth"]["differences"] == {}
    assert rows["kontext_base"]["status"] == "does_not_apply"
    text = store.read("ablations/table.md").decode()
    assert "does not apply" in text and "- Kontext as the base: there is no such base" in text
    assert text.count("| not trained |") == 10 and "are not comparable with ours" in text and "27.30" in text
    assert json.loads(store.read("ablations/table.json")) == table and table["paper"]["comparable"] is False


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"num_scenes": 3}, "another list"),
        ({"config": CONFIG.model_copy(update={"num_steps": 7})}, "another list, or by another protocol"),
        ({"identity": {**MADE_OF, "data": "data1"}}, "trained with other data"),
        ({"recipe": "an old one"}, "by another recipe"),
    ],
    ids=["list", "protocol", "data", "recipe"],
)
def test_what_does_not_compare_gets_no_difference_and_says_why(store, made, said):
    make_row(store, "no_edges", darker=2, **made)
    row = by_row(make_table(store, CONFIG, RECIPES))["no_edges"]
    assert row["differences"] == {} and said in row["note"]


def test_a_row_with_data_of_its_own_is_compared_and_says_how_its_data_differ(store):
    row = "no_generated_foregrounds"
    own = {"data_changes": {"scenes.generated_share": 0.0}, "identity": {**MADE_OF, "data": "data1"}}
    make_row(store, row, darker=2, **own)
    found = by_row(write_table(store, CONFIG, RECIPES))[row]
    assert found["differences"]["background.psnr_mask"]["mean"] == pytest.approx(-6.02, abs=0.1)
    assert found["changes"] == {"scenes.generated_share": 0.0}
    assert "intentionally differ from the full recipe's: planned with scenes.generated_share = 0" in found["note"]
    assert f"- without generated foregrounds: {found['note']}" in store.read("ablations/table.md").decode()
    # Its data are all that may differ; and they must.
    make_row(store, row, darker=2, **own | {"identity": {**MADE_OF, "data": "data1", "rgba_vae": "codec1"}})
    assert "trained with other rgba_vae" in by_row(make_table(store, CONFIG, RECIPES))[row]["note"]
    make_row(store, row, darker=2, **own | {"identity": MADE_OF})
    found = by_row(make_table(store, CONFIG, RECIPES))[row]
    assert found["differences"] == {} and "the full recipe's own data" in found["note"]


def test_without_the_full_row_figures_stand_alone(tmp_path):
    store = Store(str(tmp_path))
    make_row(store, "no_edges")
    table = make_table(store, CONFIG, RECIPES)
    assert table["list_sha256"] is None
    assert by_row(table)["no_edges"]["figures"]["background.psnr_whole"]["mean"] > 40
    assert "the full recipe is not trained" in by_row(table)["no_edges"]["note"]


def test_a_damaged_row_is_a_wrong_set_up(store):
    store.write("ablations/no_edges/row.json", b'{"row": "no_edges", "stat')
    with pytest.raises(BadSetup, match="materialize the row again"):
        make_table(store, CONFIG, RECIPES)


def test_every_column_is_a_metric_that_there_is(store):
    for name in make_table(store, CONFIG, RECIPES)["columns"]:
        assert find_metric(*name.split("."))


def test_changes_are_read_from_nested_tables_and_rows_must_exist():
    nested = AblationsConfig.model_validate({"changes": {"schedule": {"num_steps": 3}}, "rows": ["paper"]})
    assert nested.changes == {"schedule.num_steps": 3}
    for wrong in ({"rows": ["no_luck"]}, {"rows": []}):
        with pytest.raises(ValidationError):
            AblationsConfig.model_validate(wrong)
