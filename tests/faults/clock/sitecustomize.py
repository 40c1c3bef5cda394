"""Python imports this at its start when this folder is on PYTHONPATH: its clock then goes wrong as a file says.

`FAULTS_CLOCK` names the file, which holds seconds that are added to the time of day, and may change at any moment.
Clocks that only measure durations (monotonic) are left alone, as they are on a real machine whose time is set.
"""

import os
import time
from pathlib import Path

_true_ns = time.time_ns


def _offset_s() -> int:
    try:
        return int(Path(os.environ["FAULTS_CLOCK"]).read_text() or 0)
    except (FileNotFoundError, KeyError):
        return 0


time.time_ns = lambda: _true_ns() + _offset_s() * 1_000_000_000
time.time = lambda: time.time_ns() / 1e9
