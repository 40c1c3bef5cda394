"""Progress passes things on unchanged, and speaks where somebody can hear it."""

import io
import logging

import pytest

from pipelines.stages import progress
from pipelines.stages.progress import Progress, Steps, time_left


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_things_pass_unchanged_and_lazily():
    drawn = []

    def things():
        for i in range(3):
            drawn.append(i)
            yield i

    with Progress("scenes", "items", 3) as shown:
        passed = shown.counting(things())
        assert next(passed) == 0
        assert drawn == [0]
        assert list(passed) == [1, 2]


def test_what_is_left_is_estimated_from_what_is_done(caplog, monkeypatch):
    now_s = iter(range(0, 1000, 30))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now_s)))
    with caplog.at_level(logging.INFO, "pipelines.stages.progress"), Progress("scenes", "items", 4) as shown:
        list(shown.counting(range(4)))
    # A look at the clock every 30 s, two for each item: 60 s an item, as far as the first lines can know.
    assert caplog.messages[0] == "scenes: 1/4 items, about 3 min left"
    assert caplog.messages[2] == "scenes: 3/4 items, about 1 min left" and caplog.messages[3] == "scenes: 4/4 items"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "about 1 s"), (42.4, "about 42 s"), (61, "about 1 min"), (3000, "about 50 min"), (9000, "about 2.5 h")],
)
def test_time_left_is_as_exact_as_it_can_be(seconds, words):
    assert time_left(seconds) == f"{words} left"


@pytest.mark.parametrize(("total", "line"), [(4, "scenes: 4/4 items"), (None, "scenes: 4 items")])
def test_log_lines_outside_a_terminal(caplog, monkeypatch, total, line):
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, "pipelines.stages.progress"), Progress("scenes", "items", total) as shown:
        list(shown.counting(range(4)))
    assert caplog.messages[-1] == line


def test_quick_work_is_silent(caplog):
    with caplog.at_level(logging.INFO, "pipelines.stages.progress"), Progress("scenes", "items", 4) as shown:
        list(shown.counting(range(4)))
    assert caplog.messages == []


def test_several_streams_add_up(caplog, monkeypatch):
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, "pipelines.stages.progress"), Progress("scenes", "items", 5) as shown:
        list(shown.counting(range(2)))
        list(shown.counting(range(3)))
    assert caplog.messages[-1] == "scenes: 5/5 items"


def test_a_bar_in_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("scenes", "items", 4) as shown:
        list(shown.counting(range(4)))
    assert "scenes" in terminal.getvalue()
    assert "4/4" in terminal.getvalue()


def test_an_exception_is_not_held_back(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    with pytest.raises(KeyError), Progress("scenes", "items"):
        raise KeyError


@pytest.mark.parametrize(("took_s", "said"), [(1.0, "about 3 s left"), (100.0, "about 5 min left")])
def test_log_lines_say_how_long_the_rest_takes(caplog, monkeypatch, took_s, said):
    now_s = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, "pipelines.stages.progress"), Progress("scenes", "items", 4) as shown:
        for _ in shown.counting(range(4)):
            now_s[0] += took_s
    assert caplog.messages[0].startswith("scenes: 1/4 items, about") and caplog.messages[0].endswith(said)
    assert caplog.messages[-1] == "scenes: 4/4 items"


def test_steps_are_numbered_and_logged(caplog):
    steps = Steps(2)
    with caplog.at_level(logging.INFO, "pipelines.stages.progress"):
        assert steps.next("the list") == "step 1 of 2: the list"
        assert steps.next("scores", "40 images") == "step 2 of 2: scores"
    assert caplog.messages == ["step 1 of 2: the list", "step 2 of 2: scores: 40 images"]
