"""Figures and text for a terminal of 80 columns: tables whose columns continue below, and Markdown laid out as text."""

import textwrap
from collections.abc import Sequence

WIDTH = 80
_GAP = "  "
_NOTHING = {"", "-", "\u2013"}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in columns; columns that do not fit stand below, each time after the first one.

    Below, rows that hold nothing there are left out.

    Args:
        head: of each column; it is broken where the cells are narrower.
        rows: as many cells each as the head has.
    """
    limits = [WIDTH // 3, *[WIDTH * 2 // 3 - 4] * (len(head) - 1)]
    columns = [_column(cells, limit) for limit, *cells in zip(limits, head, *rows, strict=True)]
    blocks: list[list[Column]] = []
    block = [columns[0]]
    for column in columns[1:]:
        if len(block) > 1 and _width([*block, column]) > WIDTH:
            blocks, block = [*blocks, block], [columns[0]]
        block.append(column)
    return "\n\n".join(map(_laid_out, [*blocks, block]))


def paragraph(text: str, first: str = "", rest: str = "") -> str:
    """Text in lines of at most 80 characters, except longer words; `first` and `rest` begin its lines."""
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def from_markdown(text: str) -> str:
    """Markdown as our reports have it (headings, paragraphs, lists, tables), for a terminal."""
    shown: list[str] = []
    rows: list[list[str]] = []
    for line in [*text.replace("`", "").replace("**", "").splitlines(), ""]:
        if line.startswith("|"):
            if not set(line) <= set("|-: "):
                rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            continue
        if rows:
            shown.append(table(rows[0], [row + [""] * (len(rows[0]) - len(row)) for row in rows[1:]]))
            rows = []
        if line.startswith("#"):
            title = line.lstrip("# ")
            shown += [title, "-" * len(title)]
        else:
            shown.append(paragraph(line, rest="  " if line.startswith("- ") else ""))
    return "\n".join(shown)


Column = list[list[str]]
"""The lines of each cell, the head's first."""


def _column(cells: Sequence[str], limit: int) -> Column:
    body = [textwrap.wrap(cell, limit) or [""] for cell in cells[1:]]
    width = max((len(line) for cell in body for line in cell), default=0)
    words = (len(word) for word in cells[0].split())
    head = textwrap.wrap(cells[0], max(width, min(limit, max(words, default=1))), break_on_hyphens=False)
    return [head or [""], *body]


def _width(columns: Sequence[Column]) -> int:
    return sum(max(len(line) for cell in column for line in cell) + len(_GAP) for column in columns) - len(_GAP)


def _laid_out(columns: Sequence[Column]) -> str:
    widths = [_width([column]) for column in columns]
    lines = []
    for number, row in enumerate(zip(*columns, strict=True)):
        if all(set(cell) <= _NOTHING for cell in row[1:]):
            continue
        for place in range(max(map(len, row))):
            cells = (cell[place] if place < len(cell) else "" for cell in row)
            lines.append(_GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        if number == 0:
            lines.append(_GAP.join("-" * width for width in widths))
    return "\n".join(lines)
