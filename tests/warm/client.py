"""What stands at the path of a warm Python: asks the server to run `-m MODULE ...`, and is its child to all others.

`python.py` writes it to a file, with a first line and values for REAL and ADDRESS.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

REAL, ADDRESS = "", ""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ask(words: list[str]) -> tuple[socket.socket, int] | None:
    """(connection, process id) of the server's child; None where the server has gone, or does not want to."""
    if len(words) < 2 or words[0] != "-m":
        return None
    request = {"folder": str(Path.cwd()), "environment": dict(os.environ), "arguments": words[1:]}
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(ADDRESS)
        data = json.dumps(request).encode() + b"\n"
        server.sendall(data[socket.send_fds(server, [data], [0, 1, 2]) :])
        answer = line(server)
    except OSError:
        return None
    return (server, int(answer)) if answer.isdigit() else None


def line(server: socket.socket) -> str:
    """One line of the server's, without its end."""
    data = b""
    while not data.endswith(b"\n") and (more := server.recv(64)):
        data += more
    return data.strip().decode()


# Signals wait until there is somebody to pass them on to.
signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
asked = ask(sys.argv[1:])
if asked is None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    os.execv(REAL, [REAL, *sys.argv[1:]])
server, pid = asked
for number in PASSED_ON:
    signal.signal(number, lambda number, _: os.kill(pid, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
status = int(line(server) or -signal.SIGKILL)
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
