"""Every reason for which a source drops an item has one kind."""

import ast
from pathlib import Path

import pytest

from pipelines.pairs.reading import NEEDED
from pipelines.stages.drop_kinds import REASONS, count_kinds, kind_of
from tests.conftest import CHECKOUT

ROOMS = (
    *("decoupage/images", "pipelines/backgrounds", "pipelines/foregrounds", "pipelines/library/foreign_files.py"),
    "pipelines/pairs",
    "pipelines/stages/task.py",
)
"""Where the items of sources are read and judged."""


def reasons_in(path: Path) -> set[str]:
    """Reasons that a file writes down: the first argument of BadItem, and "reason" of a drop."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BadItem":
            values = [node.args[0]]
        elif isinstance(node, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            values = [value for key, value in zip(keys, node.values, strict=True) if key == "reason"]
        found |= {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)}
    return found


def _files(room: Path) -> list[Path]:
    return [room] if room.is_file() else sorted(room.rglob("*.py"))


def test_every_reason_of_a_source_has_exactly_one_kind():
    written = {reason for room in ROOMS for path in _files(CHECKOUT / room) for reason in reasons_in(path)}
    written |= {f"missing_{role}" for role in (*NEEDED, "visible")}  # Of pairs, by the role of the picture.
    assert {"truncated", "too_small", "unlicensed"} <= written
    assert all(sum(reason in reasons for reasons in REASONS.values()) == 1 for reason in written), written
    named = set().union(*REASONS.values())
    assert named <= written, f"no source drops for {sorted(named - written)}"


def test_a_reason_without_a_kind_is_refused():
    assert kind_of("haze") == "filtered"
    with pytest.raises(ValueError, match="'ugly' has no kind"):
        kind_of("ugly")


def test_kinds_are_counted():
    drops = [{"id": reason, "reason": reason, "detail": ""} for reason in ("truncated", "haze", "islands")]
    assert count_kinds(drops) == {"unreadable": 1, "unlicensed": 0, "filtered": 2}
