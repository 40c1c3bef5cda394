"""What a person reads in an event: rounded figures, tables and words, no JSON."""

import dagster as dg
import pytest

from assets_defs.metadata import check, nothing_to_do, readable, shard_metadata, table
from pipelines.checks import CheckResult
from pipelines.stages.manifest import Manifest
from pipelines.stages.store import Store


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, dg.MetadataValue.bool(True)),
        (639, dg.MetadataValue.int(639)),
        (0.12345678901234567, dg.MetadataValue.float(0.1235)),
        (31.98765432109876, dg.MetadataValue.float(31.99)),
        (123456.789, dg.MetadataValue.float(123456.8)),
        (float("inf"), dg.MetadataValue.float(float("inf"))),
        ([], dg.MetadataValue.text("none")),
        (["a-1", "b-2"], dg.MetadataValue.text("a-1, b-2")),
        (None, dg.MetadataValue.text("-")),
        ("recipe", dg.MetadataValue.text("recipe")),
    ],
)
def test_values_are_shown_in_words(value, shown):
    assert readable(value) == shown


def test_names_with_values_are_a_table():
    found = readable({"real": 4, "generated": 1.23456789, "both": [1, 2.00001]})
    rows = {row.data["name"]: row.data["value"] for row in found.records}
    assert rows == {"real": "4", "generated": "1.235", "both": "1, 2"}
    assert readable({}).records == []


def test_a_check_shows_no_json():
    figures = {"bad": [], "outside": ["x"], "max_uses": {"foreground real": 3}, "share": 0.1 + 0.2}
    found = check("one", CheckResult(True, "fine", figures)).metadata
    assert not any(isinstance(value, dg.JsonMetadataValue) for value in found.values())
    assert found["share"].value == 0.3 and found["bad"].value == "none"


def test_tables_round():
    assert table([{"kind": "real", "share": 2 / 3}]).records[0].data == {"kind": "real", "share": 0.6667}


def test_a_partition_says_its_rows_those_of_the_asset_and_whether_anything_was_made(tmp_path):
    store = Store(str(tmp_path))
    manifest = Manifest("scenes", "00003", "f", {}, 80, 150, 1_500_000, "ab", "cd", [])
    made = shard_metadata(manifest, store, 1200, was_made=True)
    assert made["dagster/row_count"].value == 1200 and made["dagster/partition_row_count"].value == 150
    assert "nothing_to_do" not in made
    found = shard_metadata(manifest, store, 1200, was_made=False)
    assert next(iter(found)) == "nothing_to_do"
    assert f"to force it: remove {tmp_path}/scenes/00003.json" in found["nothing_to_do"].value
    assert nothing_to_do("wait")["nothing_to_do"].value == "everything is there and unchanged; to force it: wait"
