"""The process beside this one: what it answers, and what becomes of the next call when it is ended."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from decoupage.faults import BadItem, BadSetup
from pipelines.foregrounds.mulan.limited import call_limited
from tests.conftest import CHECKOUT


def double(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def hang_in_c(_: object) -> None:
    nested: tuple[object, ...] = ()
    for _ in range(64):
        nested = (nested, nested)
    hash(nested)


def fail(fault: Exception) -> None:
    raise fault


def test_one_process_answers_call_after_call() -> None:
    answers = [call_limited(double, number, 60) for number in range(3)]
    assert [answer[0] for answer in answers] == [0, 2, 4]
    assert len({answer[1] for answer in answers}) == 1 and answers[0][1] != os.getpid()


def test_a_loop_in_c_is_given_up_and_the_next_call_answered() -> None:
    _, before = call_limited(double, 1, 60)
    with pytest.raises(BadItem) as fault:
        call_limited(hang_in_c, None, 0.5)
    assert fault.value.reason == "too_slow"
    assert call_limited(double, 4, 60)[0] == 8
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_a_crash_is_a_bad_item_and_the_next_call_answered() -> None:
    with pytest.raises(BadItem) as fault:
        call_limited(os._exit, 7, 60)
    assert (fault.value.reason, "status 7" in fault.value.detail) == ("crashed", True)
    assert call_limited(double, 4, 60)[0] == 8


def test_faults_come_back_as_they_are() -> None:
    for fault in (BadItem("truncated", "half"), BadSetup("the disk is full"), KeyError("bug")):
        with pytest.raises(type(fault)) as seen:
            call_limited(fail, fault, 60)
        assert seen.value.args == fault.args
    assert "test_limited.py" in seen.value.__notes__[0]
    with pytest.raises(BadItem) as large:
        call_limited(fail, MemoryError(), 60)
    assert large.value.reason == "too_large"


def test_an_interruption_ends_the_call_and_the_process() -> None:
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            call_limited(hang_in_c, None, 60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 30
    assert call_limited(double, 4, 60)[0] == 8


def test_the_process_ends_with_the_one_it_stands_beside(tmp_path: object) -> None:
    program = (
        "from pipelines.foregrounds.mulan.limited import call_limited\n"
        "import os, builtins\n"
        "print(call_limited(eval, '__import__(\"os\").getpid()', 60), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    beside = int(done.stdout)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(beside, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("it goes on")
