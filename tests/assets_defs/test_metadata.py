"""What a person reads in an event: rounded figures, tables and words, no JSON."""

from collections.abc import Collection

import dagster as dg
import pytest

from assets_defs.metadata import check, nothing_to_do, partition_metadata, readable, table
from pipelines.checks import CheckResult
from pipelines.stages.manifest import Manifest
from pipelines.stages.run import Report
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


def report_of(*shards: str, made: Collection[str] = ()) -> Report:
    drop = {"id": "x", "reason": "no_scene", "detail": ""}
    manifests = {
        shard: Manifest("scenes", shard, "f", {}, 80, 150, 1_500_000, "ab" + shard, "cd", [], [drop], {"attempts": 9})
        for shard in shards
    }
    return Report("scenes", manifests, frozenset(made), 1.0)


def test_a_partition_says_its_rows_those_of_the_asset_and_whether_anything_was_made(tmp_path):
    store = Store(str(tmp_path))
    made = partition_metadata(report_of("00003", made=["00003"]), store, "00003: scenes", 1200)
    assert made["dagster/row_count"].value == 1200 and made["dagster/partition_row_count"].value == 150
    assert "nothing_to_do" not in made and made["sha256"].value == "ab00003"
    assert made["dagster/uri"].value == f"{tmp_path}/scenes/00003.tar"
    found = partition_metadata(report_of("00003"), store, "00003: scenes", None)
    assert next(iter(found)) == "nothing_to_do" and "dagster/row_count" not in found
    assert f"to force it: remove {tmp_path}/scenes/00003.json" in found["nothing_to_do"].value
    assert "other shards" not in found["nothing_to_do"].value
    assert nothing_to_do("wait")["nothing_to_do"].value == "everything is there and unchanged; to force it: wait"


def test_a_partition_of_several_shards_says_their_sums_and_is_idle_only_if_all_are(tmp_path):
    shards = ("00010", "00011", "00012")
    found = partition_metadata(report_of(*shards, made=["00011"]), Store(str(tmp_path)), "00010 to 00012", None)
    shown = {name: found[name].value for name in ("holds", "items", "dagster/partition_row_count", "megabytes")}
    assert shown == {"holds": "00010 to 00012", "items": 240, "dagster/partition_row_count": 450, "megabytes": 4.5}
    assert found["dropped"].value == 3 and found["counts"].records[0].data == {"what": "attempts", "number": 27}
    assert found["dagster/uri"].value == f"{tmp_path}/scenes" and "nothing_to_do" not in found
    idle = partition_metadata(report_of(*shards), Store(str(tmp_path)), "00010 to 00012", None)
    assert "scenes/00010.json and those of the partition's other shards" in idle["nothing_to_do"].value
    other = partition_metadata(report_of("00010", "00011"), Store(str(tmp_path)), "00010 to 00011", None)
    assert other["sha256"].value != idle["sha256"].value
