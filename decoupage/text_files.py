"""The one reader of text that people and other programs write: lists of ids, tables, JSON; and foreign text in print.

Text is UTF-8; a byte-order mark is read as none, and any line ends are taken. Anything else is a BadSetup that names
file and line, because a list that is read in part is worse than none.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from decoupage.faults import BadSetup

_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
MAX_LINE_BYTES = 1 << 20
_MAX_SHOWN = 200


def decoded_lines(file: BinaryIO, where: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of a file, one after another, so that any size can be read.

    Args:
        file: opened for bytes.
        where: path of the file, for messages.

    Raises:
        BadSetup: a line is not UTF-8, holds a NUL, or is longer than a megabyte.
    """
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), 1):
        if number == 1 and line[:2] in _UTF_16_MARKS:
            raise BadSetup(f"{where} is UTF-16; save it as UTF-8")
        raw = line.removeprefix(_MARK) if number == 1 else line
        if len(raw) > MAX_LINE_BYTES:
            raise BadSetup(f"{where}, line {number} is longer than {MAX_LINE_BYTES} bytes; is it a text file?")
        if b"\0" in raw:
            raise BadSetup(f"{where}, line {number} holds NUL bytes; save it as UTF-8 text")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            place = f"{where}, line {number}, byte {error.start + 1} ({raw[error.start : error.start + 1].hex()})"
            raise BadSetup(f"{place} is not UTF-8; save the file as UTF-8") from None
        yield number, text.removesuffix("\n").removesuffix("\r")


def text_lines(data: bytes, where: str) -> list[tuple[int, str]]:
    """(line number from 1, line) of a whole file, ended by LF, CRLF or CR. Raises as `decoded_lines`."""
    return list(decoded_lines(io.BytesIO(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")), where))


def listed_lines(data: bytes, where: str) -> dict[str, int]:
    """The entries of a list, one a line, `#` starts a comment: entry -> its first line number. Raises as above."""
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
    ends = [0]

    def fed() -> Iterator[str]:
        for number, line in lines:
            ends[0] = number
            yield line + "\n"

    reader = csv.reader(fed(), skipinitialspace=True, strict=True)
    try:
        heading = [name.strip() for name in next(reader, [])]
        missing = [column for column in columns if column not in heading]
        if missing or not heading:
            raise BadSetup(f"{where} lacks the columns {', '.join(missing) or 'of a table'}; it has {heading}")
        if len(set(heading)) < len(heading):
            raise BadSetup(f"{where}: a column stands twice in its heading: {', '.join(heading)}")
        start = ends[0] + 1
        for values in reader:
            if values and len(values) != len(heading):
                raise BadSetup(f"{where}, line {start}: {len(values)} values, the heading has {len(heading)} columns")
            if values:
                yield start, dict(zip(heading, (value.strip() for value in values), strict=True))
            start = ends[0] + 1
    except csv.Error as error:
        raise BadSetup(f"{where}, line {ends[0]}: {error}") from None


def parse_json(data: bytes | str, where: str) -> Any:
    """The value of a JSON text. Raises BadSetup that names the file and the place in it."""
    try:
        return json.loads(data.decode("utf-8-sig") if isinstance(data, bytes) else data)
    except UnicodeDecodeError as error:
        raise BadSetup(f"{where} is not UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise BadSetup(f"{where} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # Numbers of thousands of digits; thousands of nested brackets.
        raise BadSetup(f"{where} is not usable JSON: {error}") from None


# ---- foreign text


def is_printable(text: str, max_length: int = 10_000) -> bool:
    """True for text that a file, a table and a terminal can hold: no control character, no lone surrogate."""
    return len(text) <= max_length and text.isprintable()


def printable(text: str) -> str:
    """Foreign text as it may be printed: what is not printable is escaped, what is long is cut."""
    shown = text if text.isprintable() else text.encode("unicode_escape", "surrogatepass").decode("ascii")
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
