"""What a check of shards finds: faults, each with the place it is in, and notes that are not faults."""

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from decoupage.text_files import printable


class Finding(NamedTuple):
    """A fault within one shard, before it is known which shard.

    Attributes:
        member: the member it is in, or `header of X`, `padding of X`, `end of archive`, or a file of the shard.
        kind: one word in snake_case, stable.
        detail: a sentence for a person.
    """

    member: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Fault:
    """A fault and its place; `member`, `kind`, `detail` as in `Finding`.

    Attributes:
        folder: where the shard lies.
        shard: its number; empty when the fault is the folder's.
    """

    folder: str
    shard: str
    member: str
    kind: str
    detail: str

    def __str__(self) -> str:
        """One line that a terminal can show: names and details come out of shards of any origin."""
        place = "/".join(part for part in (self.folder, self.shard) if part)
        return ": ".join(map(printable, (place, self.member, self.kind, self.detail)))


@dataclass
class VerifyReport:
    """What `verify` looked at and found.

    Attributes:
        num_shards, num_scenes, num_layers, num_bytes: of the shards that are planned.
        beyond: shards that lie there beyond the folder's plan; each is a fault, and not counted.
        notes: things worth knowing that are not faults (unfinished files, gaps in the numbers).
    """

    num_shards: int = 0
    num_scenes: int = 0
    num_layers: int = 0
    num_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {"ok": self.ok, **asdict(self)}
