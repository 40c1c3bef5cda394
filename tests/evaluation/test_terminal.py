"""Tables and Markdown in 80 columns: nothing is cut, nothing is lost."""

import re

from hypothesis import given
from hypothesis import strategies as st

from evaluation.terminal import WIDTH, from_markdown, paragraph, table

CELL = st.text("ab -12.[]", max_size=60).map(str.strip)


@given(st.integers(1, 9).flatmap(lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), min_size=2, max_size=5)))
def test_tables_fit_and_hold_every_cell(rows):
    shown = table(rows[0], rows[1:])
    assert all(len(line) <= WIDTH for line in shown.splitlines())
    left = sorted(re.sub(r"\s|-", "", shown))
    for cell in (cell for row in rows[1:] for cell in row[1:]):
        for character in re.sub(r"\s|-", "", cell):
            left.remove(character)


def test_columns_that_do_not_fit_stand_below_with_the_first_one_and_empty_rows_are_left_out():
    wide = "12.345 [10.000, 14.000]"
    shown = table(["method", "a", "b", "c", "d"], [["one", wide, wide, wide, wide], ["two", "-", wide, "-", "-"]])
    first, second = shown.split("\n\n")
    assert (first.count(wide), second.count(wide)) == (3, 2)
    assert "two" in first and "two" not in second and second.splitlines()[0].startswith("method")


def test_markdown_as_reports_have_it():
    shown = from_markdown(
        "# Title\n\nA **long** paragraph " + "of words " * 20 + "\n\n| a | b |\n|---|---|\n| `x` | 1 |\n\n- item "
        "with a tail that goes on " * 5
    )
    lines = shown.splitlines()
    assert lines[:2] == ["Title", "-----"] and "*" not in shown and "|" not in shown and "x  1" in shown
    assert all(len(line) <= WIDTH for line in lines)


def test_words_are_never_broken():
    path = "/a/very" * 20
    assert path in paragraph(f"see {path} for more", "- ", "  ")
