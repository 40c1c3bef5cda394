"""How the process that trains says what ended it."""

import errno
import json
from pathlib import Path

import pytest

from assets_defs import training_process
from assets_defs.training_process import WRONG_SETUP, main
from training.launcher import write_plan
from training.run import RunPlan


def ended_by(error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[dict[str, str]]]:
    """(exit status, messages) of a run in which a write failed."""

    def fail(plan: RunPlan) -> None:
        raise error

    messages: list[dict[str, str]] = []
    monkeypatch.setattr(training_process, "train_current", fail)
    monkeypatch.setattr(training_process, "_report", lambda pipes, message: messages.append(message))
    plan = RunPlan("small_rgba_vae", tmp_path / "out", ("data",), "base", device="cpu")
    return main([str(write_plan(plan, tmp_path / "plan.json"))]), messages


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch, code):
    journal = str(tmp_path / "out" / "metrics.jsonl")
    status, messages = ended_by(OSError(code, "No room", journal), tmp_path, monkeypatch)
    assert status == WRONG_SETUP
    assert messages == [
        {"fault": f"No room while writing {journal}; free space and run again: it continues from its newest checkpoint"}
    ]
    # A write that is flushed late names no file.
    _, messages = ended_by(OSError(code, "No room"), tmp_path, monkeypatch)
    assert "beside its checkpoints; free space" in json.dumps(messages)


def test_another_fault_of_the_system_keeps_its_stack(tmp_path, monkeypatch):
    with pytest.raises(OSError, match="Input/output"):
        ended_by(OSError(errno.EIO, "Input/output error"), tmp_path, monkeypatch)
