"""Text of people and of other programs: whatever its bytes, it is read as written, or refused with file and line."""

import csv
import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from decoupage.text_files import (
    MAX_LINE_BYTES,
    csv_rows,
    decoded_lines,
    is_printable,
    listed_lines,
    parse_json,
    printable,
    text_lines,
)


def rows(data: bytes, *columns: str) -> list[tuple[int, dict[str, str]]]:
    return list(csv_rows(text_lines(data, "a.csv"), "a.csv", columns))


def fault(call, *arguments) -> str:
    with pytest.raises(BadSetup) as refusal:
        call(*arguments)
    return str(refusal.value)


def outcome(read, *arguments) -> tuple[Any, str]:
    """What is read, or None and the fault."""
    try:
        return read(*arguments), ""
    except BadSetup as refusal:
        return None, str(refusal)


# ---- lines


@given(st.binary(max_size=300))
def test_any_bytes_give_lines_or_a_fault_with_its_line(data):
    lines, said = outcome(text_lines, data, "ids.txt")
    if lines is None:
        assert re.match(r"ids\.txt(, line [1-9]\d*[ ,]| is UTF-)", said)
    else:
        assert lines == list(enumerate(_by_hand(data), 1))


def _by_hand(data: bytes) -> list[str]:
    text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n") if text else ([""] if data == b"\xef\xbb\xbf" else [])


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0\ufeff"), min_size=1), min_size=1))
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_marks_change_nothing(end, mark, last, lines):
    data = mark + (end.join(lines) + (end if last else "")).encode()
    assert [line for _, line in text_lines(data, "")] == lines


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("length", [65_534, 65_535, 65_536])
def test_a_line_end_on_the_border_of_two_chunks_is_one(end, length):
    lines = list(decoded_lines(io.BytesIO(b"a" * length + end + b"b" + end + b"c"), ""))
    assert [(number, len(line)) for number, line in lines] == [(1, length), (2, 1), (3, 1)]


def test_a_line_of_a_megabyte_is_taken_and_a_longer_one_refused():
    assert len(text_lines(b"a\n" + b"x" * MAX_LINE_BYTES + b"\r\n", "")[1][1]) == MAX_LINE_BYTES
    assert "ids.txt, line 2 is longer than" in fault(text_lines, b"a\n" + b"x" * (MAX_LINE_BYTES + 3), "ids.txt")
    assert "line 1 is longer than" in fault(text_lines, b"x" * 3_000_000 + b"\n", "ids.txt")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("ids\n".encode("utf-16"), "t is UTF-16; save it as UTF-8"),
        ("ids\n".encode("utf-16-be"), "t, line 1 holds NUL bytes"),
        ("ids\n".encode("utf-32"), "t is UTF-32"),
        ("one\nStra\xdfe\n".encode("latin-1"), "t, line 2, byte 5 (df) is not UTF-8"),
        (b"\xef\xbb\xbfone\r\n\xff", "t, line 2, byte 1 (ff) is not UTF-8"),
        (b"one\rtwo\r\0", "t, line 3 holds NUL bytes"),
    ],
)
def test_another_encoding_is_named_with_its_line(data, said):
    assert said in fault(text_lines, data, "t")


def test_a_list_has_comments_and_each_entry_once():
    data = b"\xef\xbb\xbf# ids\r\nchelsea\r\n\r\n  coffee  # a cup\r\nchelsea"
    assert listed_lines(data, "") == {"chelsea": 2, "coffee": 4}


# ---- tables


_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=12)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(_VALUES, min_size=n, max_size=n), max_size=5)))
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_table_that_a_csv_writer_wrote_reads_back(end, quoting, table):
    heading = [f"c{i}" for i in range(len(table[0]) if table else 1)]
    if end == "\n":  # csv's writer quotes a CR only where it ends lines with one.
        table = [[value.replace("\r", "") for value in values] for values in table]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=end, quoting=quoting).writerows([heading, *table])
    kept = [[_normal(value) for value in values] for values in table]
    kept = [values for values in kept if len(values) > 1 or values[0]]
    assert [list(values.values()) for _, values in rows(buffer.getvalue().encode())] == kept


def _normal(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n").strip()


def test_rows_are_numbered_by_their_first_line():
    data = b'\n\nid,text\na,1\n\nb,"two\nlines"\n  \nc,3'
    assert rows(data) == [
        (4, {"id": "a", "text": "1"}),
        (6, {"id": "b", "text": "two\nlines"}),
        (9, {"id": "c", "text": "3"}),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a.csv is empty; it must be a table with the columns id, licence"),
        (b"\n \n", "a.csv is empty"),
        (b"id,name\na,b", "a.csv lacks the columns licence; its heading is: id, name"),
        (b"id;licence\na;b", "its heading is: id;licence; separate its values by commas, not by ';'"),
        (b"id\tlicence\na\tb", "separate its values by commas"),
        (b"id,licence,id\n", "a.csv: its heading names a column twice: id"),
        (b"id,licence\na,b\nc\n", "a.csv, line 3: 1 values, the heading has 2 columns"),
        (b"id,licence\na,b,c\n", "a.csv, line 2: 3 values"),
        (b'id,licence\na,b\nc,"open\nd,e\nf,g\n', "a.csv, line 3: unexpected end of data"),
        (b'id,licence\n"a"b,c\n', "a.csv, line 2: "),
        (b"id,licence\na," + b"x" * 200_000, "a.csv, line 2: field larger than field limit"),
        (b"\x1b[2J,x\na,b", "\\x1b[2J"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(data, said):
    message = fault(rows, data, "id", "licence")
    assert said in message
    assert is_printable(message)


# ---- JSON


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(_JSON, st.booleans())
def test_json_reads_back_with_and_without_a_mark(value, marked):
    text = ("\ufeff" if marked else "") + json.dumps(value)
    assert parse_json(text, "a.json") == value == parse_json(text.encode(), "a.json")


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_refused_with_their_file(data):
    _, said = outcome(parse_json, data, "a.json")
    assert said == "" or said.startswith("a.json is not ")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a.json is not JSON: Expecting value (it is empty)"),
        (b'{"a":\n 1,}', "line 2, column 4"),
        (b'{"a": NaN}', "a.json is not usable JSON: it holds NaN"),
        (b"[-Infinity]", "it holds -Infinity"),
        (b"9" * 9001, "a.json is not usable JSON: a number has thousands of digits"),
        (b"[" * 10_000 + b"]" * 10_000, "a.json is not usable JSON: its brackets are nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        ("{}".encode("utf-16"), "a.json is not UTF-8 (byte 1)"),
        (b'"\xff"', "a.json is not UTF-8 (byte 2)"),
    ],
)
def test_json_that_is_none_is_named_with_the_place_in_it(data, said):
    assert said in fault(parse_json, data, "a.json")


def test_half_a_surrogate_pair_is_read_and_is_not_printable():
    text = parse_json(b'"\\ud800"', "a.json")
    assert not is_printable(text)
    assert printable(text) == "\\ud800"


# ---- foreign text in print


@given(st.text(max_size=400))
def test_what_is_printed_is_printable_short_and_can_be_encoded(text):
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= 203
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Stra\xdfe \u5b57", "Stra\xdfe \u5b57"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("done\rfault", "done\\rfault"),
        ("txt.\u202egpj", "txt.\\u202egpj"),
        ("x" * 300, "x" * 200 + "..."),
        ("\x07" * 90, "\\x07" * 50 + "..."),
    ],
)
def test_escapes_and_length(text, shown):
    assert printable(text) == shown
