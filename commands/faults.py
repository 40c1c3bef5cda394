"""How the command reports an exception: a sentence with an exit status, or a traceback where it was not expected.

This is the only list of faults. Exceptions of heavy libraries are recognised by name, so nothing is imported for them.
"""

import errno
import os
import select
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NamedTuple, TextIO

from decoupage.text_files import printable

FOUND_FAULTS, WRONG_USE, INTERRUPTED, PIPE_CLOSED, TERMINATED = 1, 2, 130, 141, 143
"""Exit statuses; the last three are a shell's for a program that SIGINT, SIGPIPE or SIGTERM ended."""
_MAX_CHARACTERS = 20_000
_OURS = ("assets_defs", "commands", "decoupage", "evaluation", "pipelines", "profiles", "training")
_DAMAGED = {
    "PIL.UnidentifiedImageError": "not a picture",
    "_csv.Error": "not a CSV table",
    "_lzma.LZMAError": "damaged (xz)",
    "_pickle.UnpicklingError": "not a pickle, or a forbidden one",
    "builtins.EOFError": "cut off: it ends too early",
    "builtins.UnicodeDecodeError": "not UTF-8 text",
    "gzip.BadGzipFile": "damaged (gzip)",
    "json.JSONDecodeError": "not JSON",
    "pyarrow.ArrowInvalid": "not a parquet table, or a damaged one",
    "pyarrow.ArrowException": "not a parquet table, or a damaged one",
    "safetensors.SafetensorError": "not a safetensors file, or a damaged one",
    "struct.error": "cut off",
    "tarfile.TarError": "not a tar archive, or a damaged one",
    "tomllib.TOMLDecodeError": "not TOML",
    "yaml.YAMLError": "not YAML",
    "zipfile.BadZipFile": "not a zip archive, or a damaged one",
    "zlib.error": "damaged (zlib)",
}
"""Exceptions of readers, and what they say about a file."""
_SERVERS: tuple[str, ...] = (
    "botocore.BotoCoreError",
    "botocore.ClientError",
    "huggingface_hub.HfHubHTTPError",
    "openai.OpenAIError",
)
_SERVERS += ("requests.RequestException", "urllib.URLError", "urllib3.HTTPError")
_OF_PATHS = {
    errno.ENOENT: "there is no file, folder or program {path}",
    errno.EEXIST: "{path} exists already",
    errno.EISDIR: "{path} is a folder, but a file is needed",
    errno.ENOTDIR: "a part of {path} is a file, but a folder is needed",
    errno.EACCES: "this user may not read or write {path}: change its owner or its permissions",
    errno.EPERM: "this user may not change {path}: change its owner or its permissions",
    errno.EROFS: "{path} is on a disk that is mounted read-only",
    errno.ENAMETOOLONG: "the name {path} is too long",
    errno.ENOSPC: "the disk of {path} is full: free space and repeat the command: it continues from what is finished",
    errno.EDQUOT: "the quota on the disk of {path} is used up: free space and repeat the command: it continues",
    errno.EMFILE: "too many files are open at {path}: raise the limit (ulimit -n), or lower engine.workers",
    errno.EADDRINUSE: "another program already listens on this address: end it, or choose another port",
}


class Told(NamedTuple):
    """A fault as a person reads it, and the exit status that goes with it."""

    sentence: str
    status: int


class Terminated(KeyboardInterrupt):
    """SIGTERM: what container runtimes and service managers send. Ends the command in order, as Ctrl-C does."""


def terminate(number: int, frame: FrameType | None) -> None:
    """Handler of SIGTERM; without one, a program with process id 1, as in a container, would ignore it."""
    raise Terminated


class Stopped(Exception):
    """Wraps what click would swallow or shorten to "Aborted.": an EOFError, a KeyboardInterrupt, a closed pipe.

    Attributes:
        error: it.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def told(error: BaseException) -> Told | None:
    """A fault of the input, the set-up or the machine in a sentence; None for an unexpected one."""
    for name in _names(error):  # From the class to those that it is derived from.
        if name in _TOLD:
            sentence, status = _TOLD[name]
            return Told(said, status) if (said := sentence(error)) else None
    return None


def tell(error: BaseException) -> int:
    """Print a fault to standard error; returns the exit status."""
    if isinstance(error, Stopped):
        error = error.error
    if isinstance(error, BrokenPipeError) and _is_closed(sys.stdout):
        _drop_output()
        return PIPE_CLOSED
    found = told(error)
    if found is None:
        print(
            readable("".join(traceback.format_exception(error)))
            + f"decoupage: this is a fault of the program, or a file that it does not expect, in {_place(error)}. "
            "Please report it with the lines above.",
            file=sys.stderr,
        )
        return FOUND_FAULTS
    print(f"decoupage: {readable(found.sentence)}", file=sys.stderr)
    if isinstance(error, OSError):
        _drop_output()  # Where it is standard output that cannot be written, Python would try once more.
    return found.status


def readable(text: str) -> str:
    """A message of several lines, made safe to print: foreign text in it cannot control the terminal."""
    return "\n".join(printable(line, _MAX_CHARACTERS) for line in text.split("\n"))


def _names(error: BaseException) -> list[str]:
    """Names of an exception's class and of its bases, with their package: `pyarrow.ArrowInvalid`."""
    return [f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}" for kind in type(error).__mro__]


def _place(error: BaseException) -> str:
    """The innermost place in our code that an exception went through, as `pipelines/stages/store.py:88 (read)`."""
    found = "the command"
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in _OURS:
            found = f"{module.replace('.', '/')}.py:{line} ({frame.f_code.co_name})"
    return found


def _value(error: BaseException) -> str:
    """A wrong value; for one from another library, also where it occurred."""
    frames = list(traceback.walk_tb(error.__traceback__))
    package = frames[-1][0].f_globals.get("__name__", "").partition(".")[0] if frames else ""
    if package in (*_OURS, "", "__main__"):
        return str(error)
    return f"{error} ({type(error).__name__} of {package}, in {_place(error)})"


def _damaged(error: BaseException) -> str:
    what = next(_DAMAGED[name] for name in _names(error) if name in _DAMAGED)
    detail = f" ({error})" if str(error) else ""
    return f"a file is {what}{detail}; it was read in {_place(error)}"


def _server(error: BaseException) -> str:
    return f"a server could not be reached, or refused the request: {error} (in {_place(error)})"


def _memory(error: BaseException) -> str:
    detail = f" ({str(error).partition('. ')[0]})" if str(error) else ""
    fix = "close other programs, or lower sizes, batches or engine.workers"
    return f"there was not enough memory in {_place(error)}{detail}: {fix}"


def _nesting(error: BaseException) -> str:
    return f"an input is nested too deeply for {_place(error)}"


def _worker(error: BaseException) -> str:
    fix = "the system may have ended it because memory ran out; lower engine.workers and repeat the command"
    return f"a worker process ended in the middle of its work: {fix}"


def _import(error: BaseException) -> str:
    """Empty if one of our own modules is missing."""
    ours = isinstance(error, ImportError) and (error.name or "").partition(".")[0] in _OURS
    return "" if ours else f"a package is missing or broken: {error}; `make .venv` installs all of them"


def _interrupted(error: BaseException) -> str:
    how = "told to end" if isinstance(error, Terminated) else "interrupted"
    return f"{how}; what is finished is kept, and the same command continues"


def _of_system(error: BaseException) -> str:
    """An OSError in a sentence that names the path, where it knows one."""
    assert isinstance(error, OSError)
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if isinstance(path, str | bytes)]
    if not paths and isinstance(error, FileNotFoundError) and len(error.args) == 1:  # fsspec gives the path alone.
        return f"there is no file or folder {error}"
    pattern = _OF_PATHS.get(error.errno or 0)
    if pattern and (paths or "{path}" not in pattern):
        return pattern.format(path=" or ".join(paths))
    if pattern:
        return f"{pattern.format(path='what is written or read')} (in {_place(error)})"
    return f"{error} (in {_place(error)})"


def _is_closed(stream: TextIO) -> bool:
    """Whether a stream has no reader any more, as after `| head`."""
    with suppress(OSError, ValueError):
        waiting = select.poll()
        waiting.register(stream.fileno(), 0)
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in waiting.poll(0))
    return True


def _drop_output() -> None:
    """Discard further standard output if it can no longer be written."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


_TOLD: dict[str, tuple[Callable[[BaseException], str], int]] = {
    "decoupage.BadItem": (str, FOUND_FAULTS),
    "decoupage.BadOutput": (str, FOUND_FAULTS),
    "decoupage.BadSetup": (str, WRONG_USE),
    "training.Diverged": (str, FOUND_FAULTS),
    **dict.fromkeys(_DAMAGED, (_damaged, WRONG_USE)),
    **dict.fromkeys(_SERVERS, (_server, WRONG_USE)),
    "builtins.MemoryError": (_memory, WRONG_USE),
    "torch.OutOfMemoryError": (_memory, WRONG_USE),
    "builtins.RecursionError": (_nesting, WRONG_USE),
    "concurrent.BrokenProcessPool": (_worker, WRONG_USE),
    "builtins.OSError": (_of_system, WRONG_USE),
    "builtins.ImportError": (_import, WRONG_USE),
    "builtins.ValueError": (_value, WRONG_USE),
    "commands.Terminated": (_interrupted, TERMINATED),
    "builtins.KeyboardInterrupt": (_interrupted, INTERRUPTED),
}
"""Exceptions, their message, and the exit status."""
