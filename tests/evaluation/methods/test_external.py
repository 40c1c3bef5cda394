"""External commands: what they are given, whose answers count, and that they end when they must."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decoupage.images.codecs import decode_mask, decode_rgb
from evaluation.config import EvaluationConfig
from evaluation.config.baselines import BaselinesConfig, ExternalBaseline
from evaluation.method import Failure
from evaluation.methods.baselines import record_baselines
from evaluation.methods.external.keeper import MAX_LOG_BYTES
from evaluation.methods.external.process import run_command
from evaluation.methods.external.record import record_external
from evaluation.records.ask import DidNotRun
from pipelines.stages.store import Store
from tests.evaluation.methods.made_up import COPY, ECHO, Listed, asked, program


@pytest.fixture
def listed():
    return Listed()


def record_theirs(root, listed, baseline):
    return record_external(listed, baseline, Store(str(root / "room"))).methods["theirs"]


def failures(record, listed):
    return record.failures([case.name for case in listed.given])


def test_a_command_is_asked_once_and_its_pictures_come_in(tmp_path, listed):
    baseline = program(tmp_path, ECHO, COPY)
    done = record_theirs(tmp_path, listed, baseline)
    assert not failures(done, listed)
    found = [done.answer(case) for case in listed.given]
    assert all(np.array_equal(a.background, c.composite) for a, c in zip(found, listed.given, strict=True))
    record_theirs(tmp_path, listed, baseline)
    assert asked(tmp_path) == [[case.name for case in listed.given]]
    assert not list((tmp_path / "room" / "theirs" / "work").iterdir())


def test_with_the_records_in_an_object_store_it_works_on_this_machine(remote, tmp_path, listed):
    done = record_external(listed, program(tmp_path, ECHO, COPY), remote).methods["theirs"]
    assert not failures(done, listed)
    assert np.array_equal(done.answer(listed.given[0]).background, listed.given[0].composite)
    assert not [path for path in remote.tree() if "work/" in path]


def test_it_is_given_the_picture_the_mask_and_hashes_and_no_truth(tmp_path, listed):
    keep = f"shutil.copytree(given, {str(tmp_path / 'seen')!r})\n"
    record_theirs(tmp_path, listed, program(tmp_path, keep, ECHO, COPY))
    seen = tmp_path / "seen"
    assert sorted(path.name for path in seen.iterdir()) == ["images", "list.json", "masks"]
    for case, line in zip(listed.given, json.loads((seen / "list.json").read_text())["images"], strict=True):
        image, mask = ((seen / folder / f"{case.name}.png").read_bytes() for folder in ("images", "masks"))
        assert np.array_equal(decode_rgb(image), case.composite) and np.array_equal(decode_mask(mask), case.mask)
        digests = {"image_sha256": hashlib.sha256(image).hexdigest(), "mask_sha256": hashlib.sha256(mask).hexdigest()}
        assert line == {"name": case.name, "sha256": case.sha256} | digests


def test_missing_pictures_are_failures_and_only_they_are_asked_again(tmp_path, listed):
    lost = [case.name for case in listed.given[:2]]
    lose = f"names = [name for name in names if name not in {lost}]\n"
    done = record_theirs(tmp_path, listed, program(tmp_path, ECHO, lose, COPY))
    assert failures(done, listed) == dict.fromkeys(lost, "no background")
    found = [done.answer(case) for case in listed.given]
    assert [isinstance(answer, Failure) for answer in found] == [True, True] + [False] * (len(found) - 2)
    assert not failures(record_theirs(tmp_path, listed, program(tmp_path, ECHO, COPY)), listed)
    assert asked(tmp_path)[1] == lost


def test_both_parts_must_be_there(tmp_path, listed):
    entry = program(tmp_path, ECHO, COPY, gives=("background", "foreground"))
    done = record_theirs(tmp_path, listed, entry)
    assert failures(done, listed) == dict.fromkeys((case.name for case in listed.given), "no foreground")
    config = EvaluationConfig(baselines=BaselinesConfig(enabled=("theirs",), external=(entry,)))
    state = next(s for s in record_baselines(config, listed, Store(str(tmp_path / "root"))) if s.name == "theirs")
    assert state.word == "did not run" and "no foreground" in state.detail


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "wrote neither done.json nor a copy of list.json"),
        (
            "(made / 'done.json').write_text(json.dumps({'list_sha256': 'ab' * 32}))\n",
            "names another list .abababababab",
        ),
        ("(made / 'done.json').write_text('[]')\n", "is not a JSON object"),
        ("(made / 'list.json').symlink_to(given / 'list.json')\n", "wrote neither"),
    ],
    ids=["silent", "another list", "no object", "link"],
)
def test_pictures_of_an_unknown_or_another_list_are_not_taken(tmp_path, listed, said, reason):
    with pytest.raises(DidNotRun, match=reason):
        record_theirs(tmp_path, listed, program(tmp_path, said, COPY))
    assert not list((tmp_path / "room" / "theirs").glob("*.png"))


def test_done_json_is_as_good_as_a_copy_of_the_list(tmp_path, listed):
    line = "(made / 'done.json').write_text(json.dumps({'list_sha256': json.loads((given / 'list.json').read_text())"
    record_theirs(tmp_path, listed, program(tmp_path, f"{line}['list_sha256']}}))\n", COPY))
    assert (tmp_path / "room" / "theirs" / "list.json").exists()


def test_what_a_failing_command_made_before_counts_and_its_end_is_told(tmp_path, listed):
    one = "names = names[:1]\n"
    fail = "print('first line', file=sys.stderr); print('\\x1b[31mno memory', file=sys.stderr); sys.exit(3)\n"
    done = record_theirs(tmp_path, listed, program(tmp_path, ECHO, one, COPY, fail))
    assert len(failures(done, listed)) == len(listed.given) - 1
    reason = "no background; the command exited with status 3: first line [31mno memory"
    assert set(failures(done, listed).values()) == {reason}


def test_a_command_that_dies_before_it_says_anything_did_not_run(tmp_path, listed):
    with pytest.raises(
        DidNotRun, match=r"theirs exited with status 1: .*ModuleNotFoundError: No module named 'nowhere'"
    ):
        record_theirs(tmp_path, listed, program(tmp_path, "import nowhere\n"))


def test_a_command_that_cannot_be_started_did_not_run(tmp_path, listed):
    command = (str(tmp_path / "nowhere"), "{input}", "{output}")
    baseline = ExternalBaseline(name="theirs", command=command, gives=("background",))
    with pytest.raises(DidNotRun, match=r"theirs could not be started \(No such file or directory: .*nowhere"):
        record_theirs(tmp_path, listed, baseline)


def test_the_time_limit_ends_it_with_all_that_it_started(tmp_path, listed):
    child = "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n"
    child += f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
    slow = program(tmp_path, ECHO, "names = names[:1]\n", COPY, child, "time.sleep(60)\n", time_limit_s=3)
    done = record_theirs(tmp_path, listed, slow)
    assert set(failures(done, listed).values()) == {"no background; the command was killed after 3 s"}
    assert is_gone(int((tmp_path / "child").read_text()))


def is_gone(pid):
    """Dead, or a zombie that nobody has buried yet."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


STAYING = "import subprocess, sys, os, time, pathlib\n"
STAYING += "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"


@pytest.mark.parametrize("ends", ["sys.exit(0)", "time.sleep(60)"], ids=["it leaves", "it is late"])
def test_a_child_that_took_a_session_of_its_own_is_ended_too(tmp_path, ends):
    program = f"{STAYING}pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n{ends}"
    run_command([sys.executable, "-c", program], tmp_path, 2)
    assert is_gone(int((tmp_path / "child").read_text()))


def test_one_that_forks_twice_and_forgets_its_environment_is_ended_too(tmp_path):
    """As daemons do it."""
    note = tmp_path / "child"
    program = "import os, sys, time\nif os.fork(): sys.exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
    program += f"open({str(note)!r}, 'w').write(str(os.getpid()))\n"
    program += "os.execve('/bin/sleep', ['sleep', '60'], {})\n"
    script = tmp_path / "daemon.py"
    script.write_text(program)
    shell = f"{sys.executable} {script}; while [ ! -s {note} ]; do sleep 0.1; done"
    assert run_command(["sh", "-c", shell], tmp_path, 60).fault == ""
    assert is_gone(int(note.read_text()))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_our_own_process(tmp_path, how):
    note = tmp_path / "child"
    program = f"{STAYING}pathlib.Path({str(note)!r}).write_text(f'{{child.pid}} {{os.getpid()}}')\ntime.sleep(60)"
    ours = "import sys\nfrom pathlib import Path\nfrom evaluation.methods.external.process import run_command\n"
    ours += f"run_command([sys.executable, '-c', {program!r}], Path({str(tmp_path)!r}), 60)\n"
    running = subprocess.Popen([sys.executable, "-c", ours], stderr=subprocess.DEVNULL)
    for _ in range(200):
        if note.exists() and len(note.read_text().split()) == 2:
            break
        time.sleep(0.05)
    running.send_signal(how)
    assert running.wait(20) != 0
    assert all(is_gone(int(pid)) for pid in note.read_text().split())


def test_of_what_it_says_the_end_is_kept(tmp_path):
    program = "import sys\nfor n in range(400_000): print('line', n)\nprint('last words', file=sys.stderr)\nsys.exit(2)"
    assert run_command([sys.executable, "-c", program], tmp_path, 60).fault == "exited with status 2: last words"
    said = (tmp_path / "stdout.log").read_bytes()
    assert MAX_LOG_BYTES <= len(said) <= 2 * MAX_LOG_BYTES and said.endswith(b"line 399999\n")


def test_a_command_gets_a_small_environment_and_no_input(tmp_path, monkeypatch):
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "DAGSTER_HOME", "DECOUPAGE_ROOT", "SLACK_WEBHOOK_URL", "DATABASE_URL"):
        monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("HF_HOME", "there")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    program = "import os, sys; print(dict(os.environ), repr(sys.stdin.read()))"
    assert run_command([sys.executable, "-c", program], tmp_path, 60).fault == ""
    said = (tmp_path / "stdout.log").read_text()
    assert "sesame" not in said and "HF_HOME" not in said and "'CUDA_VISIBLE_DEVICES': '3'" in said and "PATH" in said
    assert run_command([sys.executable, "-c", program], tmp_path, 60, ["HF_HOME", "NOT_SET"]).fault == ""
    assert "'HF_HOME': 'there'" in (tmp_path / "stdout.log").read_text()


@pytest.mark.parametrize("name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DAGSTER_HOME", "DECOUPAGE_ROOT", "A=B", ""])
def test_a_profile_cannot_hand_out_our_settings_and_secrets(name):
    with pytest.raises(ValueError, match=r"may not be passed to foreign|is not a variable name"):
        ExternalBaseline(name="theirs", command=("x", "{input}", "{output}"), gives=("background",), variables=(name,))


def test_a_command_that_dies_of_a_signal_says_so(tmp_path):
    assert run_command(["sh", "-c", "kill -SEGV $$"], tmp_path, 60).fault == "was ended by SIGSEGV"


def test_links_and_a_huge_list_are_not_followed_or_read(tmp_path, listed):
    link = "(made / 'background').symlink_to(given / 'images')\n"
    done = record_theirs(tmp_path, listed, program(tmp_path, ECHO, link))
    assert set(failures(done, listed).values()) == {"background/ is a link"}
    huge = "os.truncate(os.open(made / 'done.json', os.O_CREAT | os.O_WRONLY), 1 << 40)\n"
    with pytest.raises(DidNotRun, match=r"done.json cannot be read: too_large"):
        record_theirs(tmp_path, listed, program(tmp_path, huge, COPY))


def test_arguments_are_not_read_by_a_shell(tmp_path, listed):
    baseline = program(tmp_path, ECHO, COPY)
    more = baseline.model_copy(update={"command": (*baseline.command, f"; touch {tmp_path / 'shell'}")})
    record_theirs(tmp_path, listed, more)
    assert not (tmp_path / "shell").exists()


def test_another_list_in_the_same_names_is_another_question(tmp_path, listed):
    """A command that skips what is there must not find an older list's pictures."""
    with pytest.raises(DidNotRun):
        record_theirs(tmp_path, listed, program(tmp_path, COPY))
    left = next((tmp_path / "room" / "theirs" / "work").iterdir())
    assert list((left / "output" / "background").iterdir())
    listed.given = [replace(case, composite=case.composite ^ 1) for case in listed.given]
    empty = "assert not list(made.iterdir())\n"
    record_theirs(tmp_path, listed, program(tmp_path, empty, ECHO, COPY))
    assert not left.exists()
