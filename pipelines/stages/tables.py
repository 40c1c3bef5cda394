"""Parquet files: rows to bytes that depend on the rows alone, and bytes of any origin to a table of bounded size.

A few hundred kB of parquet can ask for gigabytes, so what a file says of its size is looked at before it is read, and
what comes out is counted while it is read.
"""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from decoupage.faults import BadSetup

MIN_LIMIT_BYTES = 256 << 20
MAX_EXPANSION = 100
"""A table may take so many times its file's bytes in memory, and always as much as `MIN_LIMIT_BYTES`."""


def parquet_bytes(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    """The rows as a parquet file; equal rows give equal bytes.

    Raises:
        ValueError: a row has a column that the schema lacks.
    """
    unknown = {key for row in rows for key in row} - set(schema.names)
    if unknown:
        raise ValueError(f"rows hold columns that the schema lacks: {sorted(unknown)}")
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer, compression="zstd")
    return buffer.getvalue()


def parquet_table(data: bytes, columns: Sequence[str] | None = None, max_rows: int | None = None) -> pa.Table:
    """The table in a parquet file.

    Args:
        data: the file.
        columns: names of the columns to read; None = all.
        max_rows: more rows are refused before any is read; None = as many as fit the bound on bytes.

    Raises:
        ValueError: it is damaged, lacks a column, has more rows, or would take far more memory than its size explains.
    """
    try:
        return _read(data, columns, max_rows)
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise ValueError(f"is not a readable parquet file: {' '.join(str(error).split())}") from error


def read_parquet(data: bytes, where: str, columns: Sequence[str] | None = None) -> pa.Table:
    """As `parquet_table`, of a file whose address is known. Raises BadSetup that names it."""
    try:
        return parquet_table(data, columns)
    except ValueError as error:
        raise BadSetup(f"{where} {error}") from error


def parquet_rows(data: bytes) -> int:
    """Number of rows that a parquet file says it has; nothing else of it is read. Raises ValueError: it is damaged."""
    try:
        return int(pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"is not a readable parquet file: {' '.join(str(error).split())}") from error


def _read(data: bytes, columns: Sequence[str] | None, max_rows: int | None) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(data))
    names = file.schema_arrow.names
    wanted = list(names if columns is None else columns)
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f"lacks the columns {', '.join(missing)}; it has {', '.join(names)}")
    limit = max(MIN_LIMIT_BYTES, MAX_EXPANSION * len(data))
    about = file.metadata
    if max_rows is not None and about.num_rows > max_rows:
        raise ValueError(f"has {about.num_rows} rows, at most {max_rows} are possible")
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    asked = sum(group.total_byte_size for group in groups)
    if asked > limit or about.num_rows > limit:
        raise ValueError(
            f"asks for {asked} bytes and {about.num_rows} rows out of {len(data)} bytes, at most {limit} are read"
        )
    # A value of a dictionary may be repeated in every row: batches are so small that even then one fits the bound.
    largest = max((group.total_byte_size for group in groups), default=0)
    batch_rows = max(1, min(65_536, limit // max(1, largest)))
    batches, num_bytes = [], 0
    for batch in file.iter_batches(batch_rows, columns=wanted, use_threads=False):
        num_bytes += batch.nbytes
        if num_bytes > limit:
            raise ValueError(f"takes more than {limit} bytes in memory, which {len(data)} bytes do not explain")
        batches.append(batch)
    fields = [file.schema_arrow.field(name) for name in wanted]
    return pa.Table.from_batches(batches, pa.schema(fields, file.schema_arrow.metadata)).combine_chunks()
