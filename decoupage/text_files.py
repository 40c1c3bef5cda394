"""The one reader of text that people and other programs write: lists of ids, tables, JSON; and foreign text in print.

Text is UTF-8; a byte-order mark is read as none, and any line ends are taken. Anything else is a BadSetup that names
file and line, because a list that is read in part is worse than none.
"""

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from decoupage.faults import BadSetup

_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
MAX_LINE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
_JOINERS = "\u200c\u200d"
_MAX_SHOWN = 200


def decoded_lines(file: BinaryIO, where: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of a file, one after another, so that any size can be read.

    Args:
        file: opened for bytes; its lines end with LF, CRLF or CR, and the last one may lack its end.
        where: path of the file, for messages.

    Raises:
        BadSetup: a line is not UTF-8, holds a NUL, or is longer than a megabyte.
    """
    for number, line in enumerate(_raw_lines(file, where), 1):
        raw = line.removeprefix(_MARK) if number == 1 else line
        if number == 1 and (mark := next(filter(raw.startswith, _OTHER_MARKS), None)):
            raise BadSetup(f"{where} is {_OTHER_MARKS[mark]}; save it as UTF-8")
        if b"\0" in raw:
            raise BadSetup(f"{where}, line {number} holds NUL bytes; save it as UTF-8 text")
        try:
            yield number, raw.decode("utf-8")
        except UnicodeDecodeError as error:
            place = f"{where}, line {number}, byte {error.start + 1} ({raw[error.start : error.start + 1].hex()})"
            raise BadSetup(f"{place} is not UTF-8; save the file as UTF-8") from None


def _raw_lines(file: BinaryIO, where: str) -> Iterator[bytes]:
    """Lines without their ends. What is behind the last end of a chunk waits for the next one, as does a last CR."""
    number, rest = 1, b""
    while chunk := file.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).splitlines(keepends=True)
        for line in lines:
            yield _whole(line, where, number)
            number += 1
        if rest.endswith(b"\n"):
            yield _whole(rest, where, number)
            number, rest = number + 1, b""
        _whole(rest, where, number)
    if rest:
        yield _whole(rest, where, number)


def _whole(line: bytes, where: str, number: int) -> bytes:
    """A line without its end. Raises BadSetup: it is too long."""
    if len(line) > MAX_LINE_BYTES + 2:
        raise BadSetup(f"{where}, line {number} is longer than {MAX_LINE_BYTES} bytes; is it a text file?")
    return line.removesuffix(b"\n").removesuffix(b"\r")


def text_lines(data: bytes, where: str) -> list[tuple[int, str]]:
    """(line number from 1, line without its end) of a whole file. Raises as `decoded_lines`."""
    return list(decoded_lines(io.BytesIO(data), where))


def listed_lines(data: bytes, where: str) -> dict[str, int]:
    """The entries of a list, one per line, `#` starts a comment: entry -> its first line number. Raises as above."""
    found: dict[str, int] = {}
    for number, line in text_lines(data, where):
        if entry := line.split("#")[0].strip():
            found.setdefault(entry, number)
    return found


def csv_rows(
    lines: Iterable[tuple[int, str]], where: str, columns: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, values by column) of a table with a heading; blanks around values are removed, empty lines skipped.

    Args:
        lines: of `decoded_lines` or `text_lines`.
        where: path of the file, for messages.
        columns: columns that must be there.

    Raises:
        BadSetup: no heading, a column missing or twice, a row of another length than the heading, a broken quote.
    """
    heading: list[str] = []
    for number, values in _csv_values(lines, where):
        if not heading:
            heading = _heading(values, where, columns)
        elif len(values) != len(heading):
            raise BadSetup(f"{where}, line {number}: {len(values)} values, the heading has {len(heading)} columns")
        else:
            yield number, dict(zip(heading, values, strict=True))
    if not heading:
        raise BadSetup(f"{where} is empty; it must be a table with the columns {', '.join(columns) or 'in a heading'}")


def _csv_values(lines: Iterable[tuple[int, str]], where: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, values) of each row; a quoted value may hold line ends."""
    last = [0]

    def fed() -> Iterator[str]:
        for number, line in lines:
            last[0] = number
            yield line + "\n"

    reader = csv.reader(fed(), skipinitialspace=True, strict=True)
    start = 1
    try:
        for values in reader:
            stripped = [value.strip() for value in values]
            if len(stripped) > 1 or any(stripped):
                yield start, stripped
            start = last[0] + 1
    except csv.Error as error:
        raise BadSetup(f"{where}, line {start}: {error}; the table's row begins there") from None


def _heading(names: list[str], where: str, columns: Sequence[str]) -> list[str]:
    """The names of a table's columns. Raises BadSetup: one is missing, or there twice."""
    missing = [column for column in columns if column not in names]
    if missing:
        other = next((mark for mark in (";", "\t") if len(names) == 1 and mark in names[0]), None)
        fix = f"; separate its values by commas, not by {other!r}" if other else ""
        shown = printable(", ".join(names))
        raise BadSetup(f"{where} lacks the columns {', '.join(missing)}; its heading is: {shown}{fix}")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise BadSetup(f"{where}: its heading names a column twice: {printable(', '.join(twice))}")
    return names


def parse_json(data: bytes | str, where: str) -> Any:
    """The value of a JSON text.

    Its texts may hold what UTF-8 cannot (a lone half of a surrogate pair): code that writes or prints one asks
    `is_printable`.

    Raises:
        BadSetup: it is not UTF-8 or not JSON, a number is NaN or infinite or has thousands of digits, or its brackets
            are nested in thousands; the message names the file and the place in it.
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
        return json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BadSetup(f"{where} is not UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if text.strip() else "it is empty"
        raise BadSetup(f"{where} is not JSON: {error.msg} ({place})") from None
    except RecursionError:
        raise BadSetup(f"{where} is not usable JSON: its brackets are nested too deeply") from None
    except ValueError as error:
        reason = "a number has thousands of digits" if "digits" in str(error) else str(error)
        raise BadSetup(f"{where} is not usable JSON: {reason}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is not a JSON number")


# ---- foreign text


def is_printable(text: str, max_length: int = 10_000) -> bool:
    """True for text that a file, a table and a terminal can hold.

    False for control characters, lone surrogates and marks that change the direction of text. Blanks of any kind and
    the zero-width joiners of scripts and emoji are fine.
    """
    return len(text) <= max_length and all(
        letter.isprintable() or letter in _JOINERS or unicodedata.category(letter) == "Zs" for letter in text
    )


def printable(text: str, max_length: int = _MAX_SHOWN) -> str:
    """Foreign text as it may be printed: each character that is not printable is escaped, what is long is cut."""
    cut = text[: max_length + 1]
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in cut)
    return shown if len(text) <= max_length and len(shown) <= max_length else f"{shown[:max_length]}..."
