"""Leases in object stores: an object that its holder renews, and that others take over when it no longer does.

- It is created by a conditional write, so one of several gets it. It holds a token, and a count that each renewal
  raises, so its version tells holders and renewals apart.
- It is renewed, taken over and released by its version alone. No clock is compared with another one: who waits takes
  over what has not changed for `LEASE_S` by its own monotonic clock. Of several that take over, the write on condition
  of the version lets one win.
- A holder that was stopped for so long finds another version when it renews. It then works on, beside the other one,
  and what both write is the same. A release could only remove another's lease where its request takes a quarter of
  `LEASE_S` to arrive.

fsspec knows no write on condition of a version: with protocols other than S3's, two can take over at once.
"""

import json
import logging
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from decoupage.faults import BadSetup
from decoupage.text_files import printable
from pipelines.stages.objects import Objects
from pipelines.stages.store import Store

log = logging.getLogger(__name__)
LEASE_S = 60.0
"""Seconds without a change after which a lease is free."""
RENEW_S = 15.0
LOOK_S = 2.0
_TELL_S = 60.0
_MAX_NOTE_BYTES = 4096


@dataclass(eq=False)
class Held:
    """A lease that this process holds.

    Attributes:
        objects, path: where it lies.
        version: as this process wrote it.
        written_s: when that write began, by this process's monotonic clock.
        is_lost: another process has taken it over.
    """

    objects: Objects
    path: str
    version: str
    written_s: float
    note: dict[str, Any]
    is_lost: bool = False
    _is_over: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def renew(self) -> None:
        """Show that its holder is alive. Raises BadSetup: the store does not answer."""
        with self._lock:
            if self._is_over or self.is_lost:
                return
            self.note["renewals"] += 1
            began_s = time.monotonic()
            with self.objects.told(self.path, "written"):
                version = self.objects.replace(self.path, _bytes(self.note), self.version)
            if version is None:
                self.is_lost = True
                log.warning(
                    "%s: another process took this lease over, because it was not renewed for %g s; both go on, and "
                    "what they write is the same",
                    *(self.objects.url(self.path), began_s - self.written_s),
                )
            else:
                self.version, self.written_s = version, began_s

    def release(self) -> None:
        """Let others have it; where the store does not answer, they have it after `LEASE_S`."""
        _keeper.drop(self)
        with self._lock:
            self._is_over = True
            if self.is_lost:
                return
            try:
                with self.objects.told(self.path, "written"):
                    if self._is_surely_own() or self.objects.version(self.path) == self.version:
                        self.objects.remove(self.path)
            except FileNotFoundError:
                return
            except BadSetup as error:
                log.warning("%s; the lease ends by itself", error)

    def _is_surely_own(self) -> bool:
        """Whether nobody can have waited long enough to take it over."""
        return time.monotonic() - self.written_s < 0.75 * LEASE_S


class _Keeper:
    """Renews all leases of this process, in one thread."""

    def __init__(self) -> None:
        self._held: set[Held] = set()
        self._lock = threading.Lock()
        self._process = 0

    def add(self, held: Held) -> None:
        with self._lock:
            if self._process != os.getpid():  # A fork has neither its parent's thread nor its leases.
                self._process, self._held = os.getpid(), set()
                threading.Thread(target=self._renew, name="leases", daemon=True).start()
            self._held.add(held)

    def drop(self, held: Held) -> None:
        with self._lock:
            self._held.discard(held)

    def _renew(self) -> None:
        while True:
            time.sleep(RENEW_S)
            with self._lock:
                held = list(self._held)
            for one in held:
                try:
                    one.renew()
                except BadSetup as error:
                    log.warning("a lease was not renewed: %s", error)


class _Watch:
    """Since when this process has seen which version of other processes' leases."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def unchanged_s(self, url: str, version: str) -> float:
        """Seconds for which a lease has had this version, as far as this process has seen."""
        now_s = time.monotonic()
        with self._lock:
            seen = self._seen.get(url)
            if seen is None or seen[0] != version:
                seen = self._seen[url] = (version, now_s)
        return now_s - seen[1]

    def forget(self, url: str) -> None:
        with self._lock:
            self._seen.pop(url, None)


_keeper, _watch = _Keeper(), _Watch()


def take(store: Store, path: str) -> Held | None:
    """See `leases.take`."""
    objects, url = store.objects, store.url(path)
    note = {"token": secrets.token_hex(16), "renewals": 0, "pid": os.getpid(), "host": socket.gethostname()}
    note["since"] = time.strftime("%Y-%m-%d %H:%M:%S")
    began_s = time.monotonic()
    with objects.told(path, "written"):
        version = objects.create(path, _bytes(note))
        if version is None:
            began_s = time.monotonic()
            version = _take_over(objects, path, note)
    if version is None:
        return None
    _watch.forget(url)
    held = Held(objects, path, version, began_s, note)
    _keeper.add(held)
    return held


def _take_over(objects: Objects, path: str, note: dict[str, Any]) -> str | None:
    """The version of a lease that its holder no longer renews, and that is now this process's."""
    url = objects.url(path)
    try:
        there = objects.version(path)
    except objects.faults as error:
        if isinstance(objects.explain(error, path, "read"), FileNotFoundError):
            return None  # It was released just now: whoever asks again gets it.
        raise
    unchanged_s = _watch.unchanged_s(url, there)
    if unchanged_s < LEASE_S:
        return None
    last = holder(objects, path)
    version = objects.replace(path, _bytes(note), there)
    if version is not None:
        log.warning("%s: taken over from %s, which has not renewed it for %.0f s", url, last, unchanged_s)
    return version


def wait_until_free(store: Store, path: str, what: str) -> None:
    """See `leases.wait_until_free`. Raises BadSetup: the store cannot be read."""
    told_s = -_TELL_S
    while True:
        try:
            version = store.version(path)
        except FileNotFoundError:
            return
        if _watch.unchanged_s(store.url(path), version) >= LEASE_S and (held := take(store, path)) is not None:
            held.release()
            return
        if time.monotonic() - told_s >= _TELL_S:
            told_s = time.monotonic()
            log.info("%s: waiting for %s, which is working there", what, holder(store.objects, path))
        time.sleep(LOOK_S)


def holder(objects: Objects, path: str) -> str:
    """Who holds a lease, as far as it says: process, host and time."""
    try:
        with objects.told(path, "read"):
            note = json.loads(objects.read(path, _MAX_NOTE_BYTES))
        return printable(f"process {note['pid']} on {note['host']} since {note['since']}")
    except (OSError, BadSetup, ValueError, KeyError, TypeError, RecursionError):
        return "another process"


def _bytes(note: dict[str, Any]) -> bytes:
    return json.dumps(note).encode()
