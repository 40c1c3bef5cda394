"""Every fault ends in a sentence and an exit status; one that nobody foresaw in its traceback and a line on it."""

import csv
import errno
import io
import json
import logging
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
import zlib
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from commands import main as cli
from commands.faults import Stopped, readable, told
from decoupage.faults import BadItem, BadOutput, BadSetup
from training.step import Diverged

ROOT = Path(__file__).parents[2]


def raised(call) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - of whatever kind
        call()
    return caught.value


def fail(error: BaseException):
    def call():
        raise error

    return raised(call)


def left(error: BaseException, monkeypatch, capsys) -> tuple[int, str]:
    """Exit status and standard error of a command that ends with an exception."""

    def app():
        raise error

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (BadSetup("no shards"), 2, "no shards"),
        (ValueError("--out is missing"), 2, "--out is missing"),
        (BadItem("truncated", "a.png ends early"), 1, "truncated: a.png ends early"),
        (BadOutput("the foreground is not finite"), 1, "the foreground is not finite"),
        (Diverged("step 3: loss = nan"), 1, "step 3: loss = nan"),
        (FileNotFoundError(errno.ENOENT, "", "/a/b"), 2, "there is no file, folder or program /a/b"),
        (FileNotFoundError("s3://a/b"), 2, "there is no file or folder s3://a/b"),
        (PermissionError(errno.EACCES, "", "/a/b"), 2, "this user may not read or write /a/b"),
        (IsADirectoryError(errno.EISDIR, "", b"/a/b"), 2, "/a/b is a folder, but a file is needed"),
        (NotADirectoryError(errno.ENOTDIR, "", "/a/b"), 2, "a part of /a/b is a file"),
        (OSError(errno.ENOSPC, "", "/a/b"), 2, "the disk of /a/b is full: free space"),
        (OSError(errno.ENOSPC, ""), 2, "the disk of what is written or read is full"),
        (OSError(errno.EADDRINUSE, "in use"), 2, "another program already listens on this address"),
        (OSError("no connection"), 2, "no connection"),
        (MemoryError(), 2, "there was not enough memory in"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), 2, "(CUDA out of memory): close other programs"),
        (RecursionError("maximum"), 2, "an input is nested too deeply"),
        (BrokenProcessPool("ended"), 2, "a worker process ended in the middle of its work"),
        (ModuleNotFoundError("No module named 'ray'", name="ray"), 2, "a package is missing or broken: No module"),
        (Stopped(EOFError()), 2, "a file is cut off: it ends too early; it was read in"),
        (Stopped(KeyboardInterrupt()), 130, "interrupted; what is finished is kept, and the same command continues"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_is_foreseen_is_a_sentence(error, status, sentence, monkeypatch, capsys):
    code, said = left(error, monkeypatch, capsys)
    assert (code, said.count("\n")) == (status, 1)
    assert said.startswith("decoupage: ")
    assert sentence in said


def _a_file(tmp_path: Path, data: bytes = b"not what it should be") -> Path:
    (tmp_path / "file").write_bytes(data)
    return tmp_path / "file"


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (lambda path: json.loads(path.read_text()), "not JSON (Expecting value"),
        (
            lambda path: path.with_name("file").write_bytes(b"\xff") and path.read_text(encoding="utf-8"),
            "not UTF-8 text",
        ),
        (lambda path: list(csv.reader(["a\0b", '"x"y'], strict=True)), "not a CSV table"),
        (zipfile.ZipFile, "not a zip archive"),
        (tarfile.open, "not a tar archive"),
        (pq.read_table, "not a parquet table"),
        (lambda path: safe_open(path, framework="pt"), "not a safetensors file"),
        (lambda path: torch.load(path, weights_only=True), "not a pickle"),
        (lambda path: pickle.load(io.BytesIO()), "cut off: it ends too early"),
        (lambda path: tomllib.loads("[a"), "not TOML"),
        (lambda path: zlib.decompress(path.read_bytes()), "damaged (zlib)"),
        (lambda path: struct.unpack("<I", b"a"), "cut off"),
        (Image.open, "not a picture"),
    ],
)
def test_what_readers_raise_says_what_the_file_is_not(read, what, tmp_path):
    found = told(raised(lambda: read(_a_file(tmp_path))))
    assert found is not None
    assert found.status == 2
    assert f"a file is {what}" in found.sentence


def test_a_value_error_of_a_library_names_the_library():
    found = told(raised(lambda: torch.nn.Conv2d(3, 3, 1, groups=2)))
    assert found is not None
    assert found.sentence.endswith("(ValueError of torch, in the command)")


@pytest.mark.parametrize(
    "error", [KeyError("seed"), TypeError("x"), AssertionError(), ModuleNotFoundError("x", name="training.absent")]
)
def test_what_nobody_foresaw_is_shown_whole_and_may_be_reported(error, monkeypatch, capsys):
    code, said = left(error, monkeypatch, capsys)
    assert code == 1
    assert said.startswith("Traceback")
    assert said.splitlines()[-1].startswith("decoupage: this is a fault of the program")
    assert "Please report it" in said


@pytest.mark.parametrize("error", [BadSetup, KeyError])
def test_foreign_text_in_a_message_does_not_steer_the_terminal(error, monkeypatch, capsys):
    _, said = left(error("a\x1b[2Jb\rc\nsecond"), monkeypatch, capsys)
    assert "\x1b" not in said
    assert "\r" not in said
    assert readable("one\n  two") == "one\n  two"


def test_nor_does_it_in_a_line_of_the_log(capsys):
    line = cli._Lines("%(message)s").format(logging.LogRecord("a", 20, "", 1, "%s: skipped", ("a\x1b[2J.png",), None))
    assert line == "a\\x1b[2J.png: skipped"


# ---- as a process


PROGRAM = """
import signal, sys
import typer
from commands import main as cli
def command():
    {}
app = typer.Typer(add_completion=False)
app.command("train")(command)
cli.load_command = lambda name: cli.get_command(app)
sys.argv = ["decoupage", "train"]
signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs ignore it.
cli.main()
"""


def program(line: str) -> list[str]:
    """The command, with a line of Python in the place of what it does."""
    return [sys.executable, "-c", PROGRAM.format(line)]


def test_a_closed_pipe_is_quiet():
    many = program("for i in range(100_000): print(i)")
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -n 1; echo "${PIPESTATUS[0]}"', "bash", *many],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0\n141\n", "")


def test_a_pipe_to_another_process_that_breaks_is_told():
    done = subprocess.run(
        program("raise BrokenPipeError(32, 'Broken pipe')"), cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"Broken pipe" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_the_output_is_a_sentence():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            program("print(1)"), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("decoupage: the disk of what is written or read is full")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_says_that_the_same_command_goes_on():
    process = subprocess.Popen(
        program("print('waiting', flush=True); signal.pause()"),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == "decoupage: interrupted; what is finished is kept, and the same command continues"
