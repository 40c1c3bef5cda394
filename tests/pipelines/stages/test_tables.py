"""A parquet file of any bytes becomes a table of bounded size, or a sentence."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from pipelines.stages import tables
from pipelines.stages.store import Store
from pipelines.stages.tables import parquet_bytes, parquet_rows, parquet_table

SCHEMA = pa.schema([("id", pa.string()), ("area", pa.float64()), ("draws", pa.list_(pa.string()))])
ROWS = [{"id": f"{i}", "area": i / 3, "draws": ["a", str(i)]} for i in range(50)]


def packed(table: pa.Table, **options) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", **options)
    return buffer.getvalue()


def test_what_was_written_is_read():
    data = parquet_bytes(ROWS, SCHEMA)
    assert parquet_table(data).equals(pq.read_table(io.BytesIO(data)), check_metadata=True)
    assert parquet_table(data, ["area", "id"]).schema.names == ["area", "id"]
    assert parquet_table(parquet_bytes([], SCHEMA)).schema == SCHEMA
    assert parquet_rows(data) == 50


def test_rows_come_in_order_however_small_the_batches(monkeypatch):
    monkeypatch.setattr(tables, "MIN_LIMIT_BYTES", 1 << 16)
    table = pa.table({"id": [f"{i:08d}" for i in range(20_000)]})
    assert parquet_table(packed(table, row_group_size=3000)).equals(table)


def test_a_column_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="lacks the columns colour; it has id, area, draws"):
        parquet_table(parquet_bytes(ROWS, SCHEMA), ["id", "colour"])


def test_more_rows_than_there_can_be_are_refused():
    with pytest.raises(ValueError, match="has 50 rows, at most 49"):
        parquet_table(parquet_bytes(ROWS, SCHEMA), max_rows=49)


@pytest.mark.parametrize("dictionary", [True, False])
def test_few_bytes_that_ask_for_gigabytes_are_refused(dictionary):
    data = packed(pa.table({"id": pa.array(["x" * 1_000_000] * 400)}), use_dictionary=dictionary)
    assert len(data) < 400_000
    with pytest.raises(ValueError, match="bytes"):
        parquet_table(data)


def test_a_billion_rows_of_nothing_are_refused():
    schema = pa.schema([("a", pa.int8())])
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for _ in range(3):
            writer.write_table(pa.table({"a": pa.nulls(100_000_000, pa.int8())}, schema))
    with pytest.raises(ValueError, match="300000000 rows"):
        parquet_table(sink.getvalue())


@given(st.data())
def test_any_damage_is_read_or_told(data):
    whole = bytearray(parquet_bytes(ROWS, SCHEMA))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    told = ""
    try:
        read = parquet_table(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except ValueError as error:
        read, told = None, str(error)
    assert told or isinstance(read, pa.Table)


def test_the_store_names_a_damaged_file(tmp_path):
    store = Store(str(tmp_path))
    store.write("a/b.parquet", b"PAR1")
    store.write("a/c.json", b"{")
    with pytest.raises(BadSetup, match=r"a/b\.parquet is not a readable parquet file"):
        store.read_table("a/b.parquet")
    with pytest.raises(BadSetup, match=r"a/c\.json is not JSON.*line 1"):
        store.read_json("a/c.json")
    for read in (store.read_table, store.read_json):
        with pytest.raises(FileNotFoundError):
            read("a/absent")
