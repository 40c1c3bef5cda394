"""Where the Ray is that a profile asks for, and whether it answers. Ray itself is not needed to tell.

Ray's own start takes most of a minute to find that nothing answers, and then ends the process.
"""

import os
import socket

from decoupage.faults import BadSetup

LOCAL = "local"
"""Address of a Ray that is started for this process, on this machine."""
_WITHIN_S = 5.0
_FRAME = b"\0\0\0\4\0\0\0\0\0"
"""HTTP/2's settings frame without settings, which each side sends first; gRPC, which Ray speaks, is HTTP/2."""
_MEND = "start the cluster, correct engine.address or RAY_ADDRESS, or leave both empty for a Ray of this machine's own"


def chosen_address(given: str) -> str:
    """The address in the profile, else that in `RAY_ADDRESS`, else `LOCAL`."""
    return given or os.environ.get("RAY_ADDRESS", "") or LOCAL


def probe(address: str) -> None:
    """Look whether a cluster answers.

    Raises:
        BadSetup: the address is none, nothing listens there, or what listens is no Ray.
    """
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or "://" in host or not port.isdecimal():
        raise BadSetup(
            f"Ray's address must be host:port of its head, such as 10.0.0.5:6379, got {address!r}; ray:// is for "
            "programs outside of the cluster, and this one must run on one of its machines"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_WITHIN_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _FRAME)
                speaks = connection.recv(len(_FRAME))[3:4] == _FRAME[3:4]
            else:
                speaks = True
    except OSError as error:
        raise BadSetup(f"no Ray answers at {address} ({error.strerror or error}): {_MEND}") from error
    if not speaks:
        raise BadSetup(f"what listens at {address} is no Ray; its port is usually 6379: {_MEND}")
