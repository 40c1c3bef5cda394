"""The path of a Python that is warm already, for tests that start many programs.

    command = [PYTHON, "-m", "commands.main", ...]

Where pytest-xdist runs the tests, its controller starts the server; elsewhere PYTHON is this interpreter. What a test
shows of imports, of a process's very beginning, or of a SIGKILL, it shows with `sys.executable`.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "TESTS_WARM_PYTHON"
PYTHON = os.environ.get(VARIABLE, sys.executable)
CHECKOUT = Path(__file__).parents[2]


@contextmanager
def warm_python() -> Iterator[None]:
    """A server for all processes that are started inside the block."""
    with tempfile.TemporaryDirectory(prefix="warm-") as name:
        folder = Path(name)
        address, path = folder / "socket", folder / "python"
        client = (Path(__file__).parent / "client.py").read_text()
        constants = f"REAL, ADDRESS = {sys.executable!r}, {str(address)!r}"
        path.write_text(f"#!{sys.executable} -EsS\n" + client.replace('REAL, ADDRESS = "", ""', constants))
        path.chmod(0o700)
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
        line = [sys.executable, "-m", "tests.warm.server", str(address)]
        server = subprocess.Popen(line, cwd=CHECKOUT, env=environment, stdin=subprocess.PIPE)
        os.environ[VARIABLE] = str(path)
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            server.communicate()
