"""What a worker far away says arrives as if it had been said here."""

import logging
import pickle

import pytest

from decoupage.faults import BadItem, BadSetup
from pipelines.stages.answers import MAX_LINES, answer

log = logging.getLogger("pipelines.tests.answers")


class Stubborn(Exception):
    def __init__(self, one, two):
        super().__init__(one)


def task(item):
    log.info("at %s", item)
    logging.getLogger("elsewhere").error("not ours")
    if isinstance(item, Exception):
        raise item
    return 2 * item


def taken(item):
    return pickle.loads(pickle.dumps(answer(task, item))).taken()


def test_a_result_comes_with_the_lines_that_were_logged_for_it(caplog):
    sent = pickle.dumps(answer(task, 3))
    caplog.clear()
    caplog.set_level("INFO")
    assert pickle.loads(sent).taken() == 6
    assert caplog.messages == ["at 3"]
    assert answer(task, 4).lines[0].getMessage() == "at 4", "and not those of the item before"


def test_only_the_last_lines_of_many_are_kept():
    lines = answer(lambda num: [log.info("line %d", i) for i in range(num)], MAX_LINES + 5).lines
    assert len(lines) == MAX_LINES and lines[-1].getMessage() == f"line {MAX_LINES + 4}"


@pytest.mark.parametrize("fault", [BadSetup("mend it"), BadItem("truncated", "ends early"), ZeroDivisionError("ours")])
def test_a_fault_arrives_as_itself_with_its_place_as_a_note(fault):
    with pytest.raises(type(fault)) as raised:
        taken(fault)
    assert raised.value.args == fault.args
    assert "It was raised in a worker" in raised.value.__notes__[0] and "in task" in raised.value.__notes__[0]


def test_what_cannot_be_pickled_is_described():
    with pytest.raises(RuntimeError, match="Stubborn: first"):
        taken(Stubborn("first", "second"))
