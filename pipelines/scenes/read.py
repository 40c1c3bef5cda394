"""Reads the stored members of scenes: one scene by a range of its tar, or a whole tar as a stream.

Bytes only: what they mean is the business of `parts.py`. Member names are `<key>.<suffix>`, split at the first
dot as WebDataset does; all members of a key lie side by side.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO

from decoupage.faults import BadSetup
from pipelines.stages.manifest import Manifest
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import Member


def key_of(name: str) -> str:
    """`00000012.layer0.webp` -> `00000012`."""
    return name.partition(".")[0]


def suffix_of(name: str) -> str:
    """`00000012.layer0.webp` -> `layer0.webp`."""
    return name.partition(".")[2]


@dataclass(frozen=True)
class Span:
    """Where the members of one key lie, side by side, in one tar of a store.

    Attributes:
        tar: path of the tar in its store.
        key: what the members' names begin with.
        members: their rows of the manifest's table, in order.
    """

    tar: str
    key: str
    members: tuple[Member, ...]

    def read(self, store: Store) -> dict[str, bytes]:
        """All members by suffix, in order, fetched in one range request and checked against their hashes.

        Raises:
            FileNotFoundError: the tar is not there.
            BadSetup: the tar does not hold what its manifest says.
        """
        start = self.members[0].offset
        data = store.read_range(self.tar, start, self.members[-1].offset + self.members[-1].num_bytes - start)
        found = {}
        for member in self.members:
            part = data[member.offset - start : member.offset - start + member.num_bytes]
            if hashlib.sha256(part).hexdigest() != member.sha256:
                raise BadSetup(
                    f"{store.url(self.tar)}: {member.name} does not hash to what the manifest says; "
                    f"remove the shard's .json and run that stage again"
                )
            found[suffix_of(member.name)] = part
        return found


def spans(manifest: Manifest) -> list[Span]:
    """One span for each key of a shard, in the tar's order.

    Raises:
        ValueError: the members of a key do not lie side by side.
    """
    tar = f"{manifest.stage}/{manifest.shard}.tar"
    found = [
        Span(tar, key, tuple(group)) for key, group in groupby(manifest.members, lambda member: key_of(member.name))
    ]
    if len({span.key for span in found}) != len(found):
        raise ValueError(f"{tar}: the members of a key do not lie side by side")
    return found


def scene_keys(manifest: Manifest) -> list[str]:
    """The keys of a shard, in the tar's order. Raises as `spans`."""
    return [span.key for span in spans(manifest)]


def read_members(store: Store, manifest: Manifest, key: str) -> dict[str, bytes]:
    """The members of one key by suffix, e.g. `layer0.webp`; see `Span.read`.

    Raises:
        KeyError: the shard has no such key. FileNotFoundError, BadSetup: as `Span.read`.
    """
    for span in spans(manifest):
        if span.key == key:
            return span.read(store)
    raise KeyError(f"{manifest.stage}/{manifest.shard} has no scene {key}")


def stream_members(file: BinaryIO) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, members by suffix) of each key of a tar, read once from front to back; needs no manifest.

    Raises:
        tarfile.ReadError: the tar is damaged or cut off.
    """
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for key, group in groupby((entry for entry in tar if entry.isfile()), lambda entry: key_of(entry.name)):
            members = {}
            for entry in group:
                data = tar.extractfile(entry)
                assert data is not None, "isfile() entries have data"
                members[suffix_of(entry.name)] = data.read()
                if len(members[suffix_of(entry.name)]) != entry.size:
                    raise tarfile.ReadError(f"{entry.name} is cut off")
                tar.members = []  # type: ignore[attr-defined]  # tarfile remembers every header; a stream needs none.
            yield key, members
