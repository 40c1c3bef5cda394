"""The run of each ablation as a profile plans it: common changes, the row's own change, the profile's for that row."""

from typing import Any

import pytest

from assets_defs.ablations import RowPlan, plan_row
from assets_defs.definitions import build_defs
from assets_defs.plan import Plan
from profiles.profile import Profile, load_profile

OWN = "evaluation.ablations.row_changes"


def profile(name: str = "demo", start: str = "", **overrides: str) -> Profile:
    changes = {f"evaluation.ablations.{key}": value for key, value in overrides.items()}
    return load_profile(name, "/nowhere", {"training.start": start, **changes})


def planned(row: str, **overrides: str) -> RowPlan:
    return plan_row(Plan(profile(**overrides)), row)


@pytest.mark.parametrize(
    "written", ['{ rank_1024 = { "batch.micro_batch" = 2 } }', "{ rank_1024.batch.micro_batch = 2 }"]
)
def test_a_row_has_changes_of_its_own_beside_the_common_ones(written: str):
    common: dict[str, Any] = {"changes": "{ schedule.num_steps = 40, batch.micro_batch = 4 }"}
    without, row = planned("rank_1024", **common), planned("rank_1024", **common, row_changes=written)
    assert (row.config.batch.micro_batch, row.config.schedule.num_steps) == (2, 40)
    assert row.changes == without.changes | {"batch.micro_batch": 2} == {"adapter.rank": 256, "batch.micro_batch": 2}
    assert row.all_changes["batch.micro_batch"] == 2 and row.all_changes["schedule.num_steps"] == 40
    assert planned("no_depth", **common, row_changes=written) == planned("no_depth", **common)


def test_what_only_a_rows_memory_needs_changes_no_weights():
    row = planned("rank_1024", row_changes="{ rank_1024.compute.checkpoint_every_blocks = 1 }")
    assert row.config.compute.checkpoint_every_blocks == 1
    assert row.config.fingerprint() == planned("rank_1024").config.fingerprint()


def test_the_full_row_is_still_the_adapter_itself_without_changes_of_its_own():
    others = "{ no_depth.batch.micro_batch = 2 }"
    assert planned("paper", changes="{}", row_changes=others).folder == "adapter"
    mine = planned("paper", changes="{}", row_changes="{ paper.batch.micro_batch = 2 }")
    assert mine.folder == "ablations/paper"


def test_rows_begin_from_nothing_where_the_adapter_begins_from_a_published_one():
    assert planned("paper", start="shipped", changes="{}").folder == "ablations/paper"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{ no_depth.batch.micro_batches = 2 }", rf"{OWN}\.no_depth: unknown key batch\.micro_batches"),
        ("{ no_depth.batch.micro_batch = 0 }", rf"{OWN}\.no_depth: batch\.micro_batch must be"),
    ],
)
def test_a_wrong_change_is_named_with_its_row_before_anything_starts(written: str, words: str):
    with pytest.raises(ValueError, match=words):
        build_defs(profile(row_changes=written))


def test_changes_of_a_row_that_does_not_exist_are_refused():
    with pytest.raises(ValueError, match=r"row_changes.*there is no ablation 'no_luck'; known: paper"):
        profile(row_changes="{ no_luck.batch.micro_batch = 2 }")
