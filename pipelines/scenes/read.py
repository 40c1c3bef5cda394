"""Reads the stored members of scenes: one scene by a range of its tar, or a whole tar as a stream.

Bytes only: what they mean is the business of `parts.py`. Member names are `<key>.<suffix>`, split at the first
dot as WebDataset does; all members of a key lie side by side.
"""

import hashlib
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO, NamedTuple

from decoupage.faults import BadItem, BadSetup
from decoupage.text_files import printable
from pipelines.stages.manifest import Manifest
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import Member
from pipelines.stages.tarscan import Entry, scan

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_MEMBER_BYTES = 256 << 20
MAX_SCENE_BYTES, MAX_SCENE_MEMBERS = 512 << 20, 64
"""No recipe makes a member, or a scene, above these."""


def is_key(text: str) -> bool:
    """True for what may be a scene's key: it becomes the name of a folder, and stands in messages."""
    return bool(_KEY.fullmatch(text))


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

    @property
    def start(self) -> int:
        """Where the first member begins in the tar."""
        return self.members[0].offset

    @property
    def num_bytes(self) -> int:
        """From there to the end of the last member."""
        return self.members[-1].offset + self.members[-1].num_bytes - self.start

    def read(self, store: Store) -> dict[str, bytes]:
        """All members by suffix, in order, fetched in one range request and checked against their hashes.

        Raises:
            FileNotFoundError: the tar is not there.
            BadSetup: the tar does not hold what its manifest says.
        """
        return self.split(self.fetch(store), store)

    def fetch(self, store: Store) -> bytes:
        """The bytes in which the members lie, not checked. Raises as `read`."""
        if not 0 <= self.num_bytes <= MAX_SCENE_BYTES:
            raise BadSetup(f"{store.url(self.tar)}: the members of {self.key} are not where those of a scene may be")
        return store.read_range(self.tar, self.start, self.num_bytes)

    def split(self, data: bytes, store: Store) -> dict[str, bytes]:
        """The members in what `fetch` gave. Raises BadSetup: a member does not hash to what the manifest says."""
        found = {}
        for member in self.members:
            part = data[member.offset - self.start : member.offset - self.start + member.num_bytes]
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
        ValueError: the members of a key do not lie side by side, or a key is none (`is_key`).
    """
    tar = f"{manifest.stage}/{manifest.shard}.tar"
    found = [
        Span(tar, key, tuple(group)) for key, group in groupby(manifest.members, lambda member: key_of(member.name))
    ]
    if len({span.key for span in found}) != len(found):
        raise ValueError(f"{tar}: the members of a key do not lie side by side")
    for span in found:
        if not is_key(span.key):
            raise ValueError(f"{tar}: {printable(span.key)!r} is not a key of a scene")
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


class Refused(NamedTuple):
    """A member that is not read, and why: its name (printable), a kind in snake_case, a sentence."""

    member: str
    kind: str
    detail: str


def stream_members(file: BinaryIO, refused: list[Refused] | None = None) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, members by suffix) of each key of a tar of any origin, in the order in which the keys begin.

    Needs no manifest. The members of a key may lie anywhere, their names may begin with `./`; folders, and the files
    `._...` that macOS adds, are skipped. One key is in memory at a time.

    Args:
        file: can be sought in.
        refused: takes the members that cannot be read; None = the first one is raised.

    Raises:
        BadItem: a member is not a plain file, has a name that no scene's member has, is there twice or is too large.
        tarfile.ReadError: the tar is damaged or cut off, and `refused` is None.
    """
    found: list[Refused] = []
    keys = _members_by_key(file, found)
    if found and refused is None:
        member, kind, detail = found[0]
        raise tarfile.ReadError(detail) if kind == "damaged_tar" else BadItem(kind, f"{member} {detail}")
    if refused is not None:
        refused += found
    for key, members in keys.items():
        yield key, {suffix: _data(file, entry) for suffix, entry in members.items()}


def _members_by_key(file: BinaryIO, refused: list[Refused]) -> dict[str, dict[str, Entry]]:
    keys: dict[str, dict[str, Entry]] = {}
    try:
        for entry in scan(file, file.seek(0, 2)):
            name = entry.name.lstrip("/") if entry.kind == "folder" else _plain(entry.name)
            key, suffix = key_of(name), suffix_of(name)
            if entry.kind == "folder" or name.startswith("._"):
                continue
            if wrong := _why_refused(entry, key, suffix, keys.get(key, {})):
                refused.append(Refused(printable(entry.name), *wrong))
            else:
                keys.setdefault(key, {})[suffix] = entry
    except tarfile.ReadError as error:
        refused.append(Refused("tar", "damaged_tar", str(error)))
    for key in [key for key, members in keys.items() if sum(e.num_bytes for e in members.values()) > MAX_SCENE_BYTES]:
        refused.append(Refused(key, "too_large", f"has more than {MAX_SCENE_BYTES} bytes in all its members"))
        del keys[key]
    return keys


def _plain(name: str) -> str:
    """A member's name without the `./` that `tar -cf x.tar .` puts before it."""
    while name.startswith("./"):
        name = name[2:]
    return name


def _why_refused(entry: Entry, key: str, suffix: str, there: dict[str, Entry]) -> tuple[str, str] | None:
    """(kind, detail) of what is wrong with a member; None when nothing is."""
    if entry.kind != "file":
        return "not_a_file", f"is not a plain file ({entry.kind})"
    if not is_key(key) or not suffix.isprintable() or "/" in suffix:
        return "bad_name", "is not the name of a scene's member (<key>.<suffix>, the key 1-64 letters, digits, - and _)"
    if suffix in there:
        return "repeated_member", "is in the tar twice; the first is taken"
    if entry.num_bytes > MAX_MEMBER_BYTES:
        return "too_large", f"has {entry.num_bytes} bytes, at most {MAX_MEMBER_BYTES} are read"
    if len(there) >= MAX_SCENE_MEMBERS:
        return "too_many", f"is one of more than {MAX_SCENE_MEMBERS} members of a scene"
    return None


def _data(file: BinaryIO, entry: Entry) -> bytes:
    file.seek(entry.offset)
    data = file.read(entry.num_bytes)
    if len(data) != entry.num_bytes:
        raise tarfile.ReadError(f"{entry.name} is cut off")
    return data
