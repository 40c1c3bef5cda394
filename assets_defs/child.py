"""`python -m assets_defs.child MODULE ARGUMENT...`: one of Dagster's programs, which ends with its parent.

Its standard input is a pipe whose other end only the parent holds, so that it ends even if the parent is killed. It
leads a process group with all its runs: they are interrupted as by Ctrl-C in a terminal, so that a training saves a
checkpoint.
"""

import os
import runpy
import signal
import sys
import threading
import time

LEAVE_S = 75.0
"""Seconds that the program and its runs have to end after they were asked to; a training has 60 of them to save."""


def main() -> None:
    """Run the module as a program with the remaining arguments."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    os.read(0, 1)  # Returns once the pipe is closed.
    os.killpg(0, signal.SIGINT)
    time.sleep(LEAVE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
