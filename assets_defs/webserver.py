"""`make ui`: Dagster's UI on loopback, behind the guard, with its daemon and the code server that both share.

`dagster dev` starts the same three, but its web server does whatever any web page asks it to: a picture whose address
is a mutation starts a run. `python -m assets_defs.webserver --port P` puts the guard before it, and serves the files of
the root that assets point to. With `--workspace FILE` it is the web server alone, beside code servers and a daemon that
run elsewhere (`deploy/compose.yaml`).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from assets_defs.child import LEAVE_S
from assets_defs.origin import DEFINITIONS
from decoupage.faults import BadSetup
from profiles.profile import load_profile

if TYPE_CHECKING:
    import socket

    from dagster._core.workspace.context import IWorkspaceProcessContext

    from decoupage.guard import Guard

ADDRESS = "127.0.0.1"
_START_S = 180.0
"""Time that the definitions get to load: seconds on an idle machine, minutes on a busy one."""
_REFRESH_MS = 2000
_QUERY_MS, _RECYCLE_S, _OVERFLOW = 15_000, 3600, 20
"""Dagster's own settings of a server's connections to its storage."""

Children = Mapping[str, "subprocess.Popen[bytes]"]


def main() -> int:
    """Serve until Ctrl-C or SIGTERM. Returns the exit status: 1 = a part ended by itself, 2 = it cannot start."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--host", default=ADDRESS, help="address to listen on")
    parser.add_argument("--name", action="append", default=[], help="host name of a proxy before it; repeatable")
    parser.add_argument("--workspace", type=Path, help="file that names running code servers; the daemon runs, too")
    given = parser.parse_args()
    # Started in the background by a script, a process ignores SIGINT, and Dagster's programs would then ignore SIGTERM.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # Advice on optional packages, once more in every run.
    try:
        return serve(given.port, given.host, given.name, given.workspace)
    except (BadSetup, ValueError) as fault:
        print(f"Dagster cannot start: {fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Dagster has ended", file=sys.stderr)
        return 0


def serve(port: int, host: str = ADDRESS, names: Sequence[str] = (), running: Path | None = None) -> int:
    """Serve the current profile until one of Dagster's programs ends, or an exception of a signal handler.

    Args:
        host: address to listen on; whatever it is, the server answers only to its names.
        names: that it may be called by in addition to those of loopback.
        running: workspace file of code servers that run already, as a daemon does; None = both are started.

    Raises:
        BadSetup: the port is taken, DAGSTER_HOME cannot be opened, or the definitions do not load.
        ValueError: the profile is wrong.
    """
    profile = load_profile()
    with ExitStack() as stack:
        listening = stack.enter_context(_listening(host, port))
        # Dagster takes seconds to load; what a person can fix is reported first.
        from dagster._core.workspace.context import WorkspaceProcessContext
        from dagster._core.workspace.load_target import WorkspaceFileTarget

        from assets_defs.home import opened_instance

        print(f"Dagster starts, with the {profile.name} profile in {profile.root}", file=sys.stderr)
        instance = stack.enter_context(opened_instance())
        instance.optimize_for_webserver(_QUERY_MS, _RECYCLE_S, _OVERFLOW)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="decoupage-ui-")))  # Only its owner's.
        children = {} if running else stack.enter_context(_children(folder))
        target = WorkspaceFileTarget([str(running or _file(folder))])
        workspace = stack.enter_context(WorkspaceProcessContext(instance, target))
        app = guarded_app(workspace, profile.root, names)
        print(f"Dagster is on http://{host}:{listening.getsockname()[1]}; Ctrl-C ends it", file=sys.stderr)
        return _run(app, listening, children)


def guarded_app(workspace: "IWorkspaceProcessContext", root: str, names: Sequence[str] = ()) -> "Guard":
    """Dagster's web application with the pages of a root, behind the guard, which knows it by these names, too."""
    from dagster_webserver.app import create_app_from_workspace_process_context

    from assets_defs.root_pages import root_route
    from decoupage.guard import LOOPBACK, Guard

    app = create_app_from_workspace_process_context(workspace, live_data_poll_rate=_REFRESH_MS)
    app.router.routes.insert(0, root_route(root))
    hosts = (*LOOPBACK, *(name.lower() for name in names))
    return Guard(app, hosts, no_get=("/graphql",), allowed=lambda path, query: ".." not in path.split("/"))


@contextmanager
def _listening(host: str, port: int) -> Iterator["socket.socket"]:
    import socket

    try:
        listening = socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise BadSetup(f"port {port} of {host} cannot be used ({why}); name another: make ui PORT=3001") from error
    with listening:
        yield listening


# --- the other programs -------------------------------------------------------------------------------------------


@contextmanager
def _children(folder: Path) -> Iterator[Children]:
    """Context with the running code server and daemon, which end with it. BadSetup: the code server does not start."""
    socket_file, workspace = folder / "code.sock", _file(folder)
    server = {"socket": str(socket_file), "host": "localhost", "location_name": DEFINITIONS}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}), encoding="utf-8")  # JSON is YAML.
    code = ["dagster", "code-server", "start", "--module-name", DEFINITIONS, "--socket", str(socket_file)]
    code += ["--location-name", DEFINITIONS, "--inject-env-vars-from-instance", "--log-level", "warning"]
    daemon = ["dagster._daemon", "run", "--workspace", str(workspace), "--log-level", "warning"]
    with ExitStack() as stack:
        children = {"the code server": stack.enter_context(_child(code))}
        until_s = time.monotonic() + _START_S
        while not socket_file.exists():
            if children["the code server"].poll() is not None or time.monotonic() > until_s:
                raise BadSetup(f"{DEFINITIONS} does not load; see the output above, or try: decoupage doctor")
            time.sleep(0.1)
        children["the daemon"] = stack.enter_context(_child(daemon))
        yield children


def _file(folder: Path) -> Path:
    return folder / "workspace.yaml"


@contextmanager
def _child(line: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    # In a session of its own: Ctrl-C reaches only this process, which then ends the others in order.
    process = subprocess.Popen(
        [sys.executable, "-m", "assets_defs.child", *line], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()  # Which it takes as the sign to end.
        try:
            process.wait(LEAVE_S + 5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _run(app: "Guard", listening: "socket.socket", children: Children) -> int:
    """Serve; returns 1 once one of the children has ended."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    ended: list[str] = []

    def watch() -> None:
        while not server.should_exit:
            ended.extend(name for name, process in children.items() if process.poll() is not None)
            server.should_exit |= bool(ended)
            time.sleep(0.5)

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[listening])
    print(f"{' and '.join(ended)} ended by itself; see the output above", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
