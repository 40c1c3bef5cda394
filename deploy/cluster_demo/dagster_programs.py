"""Dagster's three programs on loopback, each by itself as in compose.yaml: code server, daemon, web server."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from assets_defs.origin import DEFINITIONS
from deploy.cluster_demo.processes import Programs, answers, free_port

_START_S = 300.0
"""Loading the definitions takes seconds on an idle machine, minutes on a busy one."""


@contextmanager
def dagster_programs(programs: Programs, environment: Mapping[str, str]) -> Iterator[str]:
    """Context with the running programs; gives the address of the UI.

    Raises:
        BadSetup: one does not start.
    """
    workspace = programs.folder / "workspace.yaml"
    code_port, port = free_port(), free_port()
    server = f"{{host: localhost, port: {code_port}, location_name: {DEFINITIONS}}}"
    workspace.write_text(f"load_from: [grpc_server: {server}]\n", encoding="utf-8")
    # Before two programs look at it, the records have their tables.
    subprocess.run(
        [sys.executable, "-m", "dagster", "instance", "migrate"], env=dict(environment), check=True, capture_output=True
    )
    code = ["dagster", "api", "grpc", "--module-name", DEFINITIONS, "--location-name", DEFINITIONS]
    code += ["--host", "127.0.0.1", "--port", str(code_port)]
    with ExitStack() as stack:

        def start(name: str, line: list[str]) -> "subprocess.Popen[bytes]":
            return stack.enter_context(programs.running(name, [sys.executable, "-m", *line], environment))

        programs.wait("code", start("code", code), lambda: answers(code_port), _START_S)
        start("daemon", ["dagster._daemon", "run", "--workspace", str(workspace)])
        web = start("webserver", ["assets_defs.webserver", "--port", str(port), "--workspace", str(workspace)])
        # It listens before it can answer.
        programs.wait("webserver", web, lambda: "Ctrl-C ends it" in programs.log("webserver").read_text(), _START_S)
        yield f"http://127.0.0.1:{port}"
