"""Whether the machines that workers run on can make shards: the same code, and the same root."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from decoupage.faults import BadSetup
from pipelines.stages.code import code_version, require_code
from pipelines.stages.store import Store


@dataclass(frozen=True)
class LookAround:
    """Says what keeps the machine that calls it from making shards; picklable.

    Attributes:
        token: a file at the root that every machine must see.
        code: version of the code of the process that runs the stage.
    """

    store: Store
    token: str
    code: str

    def __call__(self) -> str:
        """What is wrong; empty when nothing is."""
        try:
            require_code(self.code)
            if self.store.exists(self.token):
                return ""
        except Exception as fault:  # noqa: BLE001 - whatever it is, it keeps the machine from reading the root.
            return str(fault) if isinstance(fault, BadSetup) else f"{self.store.root}: {type(fault).__name__}: {fault}"
        return (
            f"it does not see {self.store.root}, or has another folder of that name: mount the same folder on all "
            "machines at that path, or choose a root in an object store (DECOUPAGE_ROOT=s3://bucket/prefix)"
        )


@contextmanager
def looking(store: Store) -> Iterator[LookAround]:
    """What machines are to look for; the file at the root is there inside the block."""
    token = f".seen-{secrets.token_hex(8)}"
    store.write(token, b"")
    try:
        yield LookAround(store, token, code_version())
    finally:
        store.remove(token)
