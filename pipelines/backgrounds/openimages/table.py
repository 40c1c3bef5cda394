"""Reads columns of a long CSV by name, as a stream of blocks. Image ids become 64-bit numbers.

A list that does not parse (truncated, another table, text in place of a number) raises BadSetup and drops no item:
half a list would silently lead to another choice.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from decoupage.text_files import csv_rows, decoded_lines, printable

Ids = NDArray[np.uint64]
_BLOCK_BYTES = 4 << 20
_UNKNOWN = ["", "nan", "NaN"]
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[[ord(digit) for digit in "0123456789abcdef"]] = np.arange(16)
_PLACES = np.uint64(1) << np.arange(60, -1, -4, dtype=np.uint64)


def stream(path: Path, columns: Mapping[str, pa.DataType], has_newlines: bool = False) -> Iterator[dict[str, Any]]:
    """Blocks of the named columns as Arrow arrays, in the order of the file; `.gz` files are decompressed.

    Args:
        columns: name -> type; other columns are skipped. Empty text and `nan` are null in columns of numbers.
        has_newlines: quoted text may hold line breaks (titles of photographs do); slower.

    Raises:
        BadSetup: a column is missing, or the file is damaged.
    """
    try:
        with pc.open_csv(
            str(path),
            read_options=pc.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pc.ParseOptions(newlines_in_values=has_newlines),
            convert_options=pc.ConvertOptions(
                include_columns=list(columns), column_types=dict(columns), null_values=_UNKNOWN
            ),
        ) as reader:
            for batch in reader:
                yield {name: batch.column(name) for name in columns}
    except (pa.ArrowException, OSError) as error:  # Arrow's KeyError included.
        _find_fault(path, columns)
        raise BadSetup(f"{path} cannot be read ({error}); it must have the columns {', '.join(columns)}") from error


def _find_fault(path: Path, columns: Mapping[str, pa.DataType]) -> None:
    """Read a list that Arrow refused once more, slowly, because Arrow names no line. Raises BadSetup for the first."""
    numbers = [name for name, kind in columns.items() if not pa.types.is_string(kind)]
    with suppress(OSError, EOFError, zlib.error), fsspec.open(str(path), "rb", compression="infer") as file:
        for line, row in csv_rows(decoded_lines(file, str(path)), str(path), list(columns)):
            for name in numbers:
                if row[name] not in _UNKNOWN and not _NUMBER.fullmatch(row[name]):
                    raise BadSetup(f"{path}, line {line}: {name} is '{printable(row[name])}', which is not a number")


def parse_ids(column: pa.StringArray) -> tuple[Ids, NDArray[np.bool_]]:
    """Image ids as numbers, and a mask of valid ids (16 lower-case hex digits), because ids become parts of paths."""
    count = len(column)
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + count + 1]
    good = np.diff(offsets) == 16
    ids = np.zeros(count, np.uint64)
    if good.any():
        data = np.frombuffer(column.buffers()[2], np.uint8)
        digits = _NIBBLES[data[offsets[:-1][good, None] + np.arange(16)]]
        hexadecimal = (digits < 16).all(axis=1)
        ids[good] = (digits.astype(np.uint64) * _PLACES).sum(axis=1, dtype=np.uint64)
        good[np.flatnonzero(good)[~hexadecimal]] = False
    return ids, good


def format_id(number: int) -> str:
    """The image id of a number: 16 hex digits."""
    return f"{int(number):016x}"


def places_of(ids: Ids, among: Ids) -> NDArray[np.int64]:
    """Position of each id in a sorted array; -1 where it is absent."""
    if len(among) == 0:
        return np.full(len(ids), -1, np.int64)
    places = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return np.where(among[places] == ids, places, -1)
