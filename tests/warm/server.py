"""A Python that has imported the heavy libraries already, and forks a child for each program that it is asked to run.

Most of what a command of ours takes in a test is the import of torch, diffusers and Dagster: seconds, for a hundred
commands. The run's controller starts one such server for all workers (`python.py`); `client.py` takes the place of an
interpreter's path, asks the server, and behaves as its child does: same files, same signals, same exit status.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

PRELOADED = (
    "accelerate", "cv2", "dagster", "diffusers", "matplotlib.figure", "pandas", "peft", "pyarrow.parquet", "rich",
    "scipy.ndimage", "skimage", "sklearn", "torch", "torch._dynamo", "transformers",
    "training.run", "evaluation.run", "assets_defs.definitions",
)  # fmt: skip
CLASSES = (("diffusers", "FluxFillPipeline"), ("transformers", "CLIPTextModel"), ("transformers", "T5EncoderModel"))
READ_AT_IMPORT = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "DIFFUSERS_", "TORCH_", "OMP_", "DECOUPAGE_FFMPEG")
"""Variables that libraries read once: a program that wants other values gets an interpreter of its own."""
SET_BY_US = {"TRANSFORMERS_VERBOSITY": "error"}
"""What our programs set before they import, and so also a test's own process, once it has run one inside itself."""


def serve(listener: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns in the children alone, with what they are to run.

    Ends when standard input does: when whoever started it has gone.
    """
    ours = read_at_import(dict(os.environ))
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
    waiting.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                client, _ = listener.accept()
                if request := _fork(client, ours, waiting, listener):
                    return request
            elif key.data is None:
                for one in list(waiting.get_map().values()):
                    if one.data is not None:
                        with suppress(ProcessLookupError):
                            os.kill(one.data[0], signal.SIGKILL)
                os._exit(0)
            else:
                key.data[1](key)


def _fork(
    client: socket.socket, ours: dict[str, str], waiting: selectors.BaseSelector, listener: socket.socket
) -> dict[str, Any] | None:
    """Start a child for a client; the request in the child, None in the server."""
    data, files, _, _ = socket.recv_fds(client, 1 << 20, 3)
    while not data.endswith(b"\n") and (more := client.recv(1 << 20)):
        data += more
    try:
        request: dict[str, Any] = json.loads(data)
        if len(files) != 3 or read_at_import(request["environment"]) != ours:
            raise ValueError("another environment")
    except ValueError:
        client.sendall(b"no\n")
        client.close()
        _close(files)
        return None
    if (pid := os.fork()) == 0:
        waiting.close()
        listener.close()
        client.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
        _close(files)
        return request
    _close(files)
    client.sendall(b"%d\n" % pid)
    ended = os.pidfd_open(pid)

    def leave(_: selectors.SelectorKey) -> None:
        """The child has ended, or its client was killed: then so is the child."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):
            client.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        for one in (ended, client):
            waiting.unregister(one)
        os.close(ended)
        client.close()

    waiting.register(ended, selectors.EVENT_READ, (pid, leave))
    waiting.register(client, selectors.EVENT_READ, (pid, leave))
    return None


def read_at_import(environment: dict[str, str]) -> dict[str, str]:
    """The variables that make a program of this environment another one than the server's children are."""
    environment = {**environment, **SET_BY_US}
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


def become(request: dict[str, Any]) -> Callable[[], object]:
    """Take on a program's folder, variables and arguments; what is returned runs it."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    paths = [request["folder"], *filter(None, request["environment"].get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
    module, *arguments = request["arguments"]
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    return lambda: runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, then serve; a child goes on as the program that was asked for."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)  # Whoever asks before all is imported waits for it.
    os.environ.update(SET_BY_US)
    for name in PRELOADED:
        importlib.import_module(name)
    for name, attribute in CLASSES:
        getattr(importlib.import_module(name), attribute)
    gc.collect()
    gc.freeze()
    become(serve(listener))()


if __name__ == "__main__":
    main()
