"""The App's server as a process of its own: `python -m evaluation.fiftyone.server --address A --port P`.

Ends when its standard input does, so that it never outlives the process that started it, killed or not.
"""

import os
import runpy
import sys
import threading


def main() -> None:
    """Serve until standard input ends. FiftyOne reads the arguments itself."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    runpy.run_module("fiftyone.server.main", run_name="__main__")


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
