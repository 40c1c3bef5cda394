"""The json beside every tar: written last, so that its presence means the shard is whole."""

import hashlib
import json
from dataclasses import asdict, dataclass, field

from decoupage.fingerprint import canonical_json
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import Member

Drop = dict[str, str]
"""`{"id", "reason", "detail"}` of one item that was not used."""


@dataclass(frozen=True)
class Manifest:
    """What one shard holds and what it was made from.

    Attributes:
        stage, shard: its folder and its number.
        fingerprint: of the recipe that made it.
        inputs: hashes of what it was made from; when they change, the shard is stale.
        num_items, num_rows: work items kept, and rows of the parquet index.
        num_bytes, tar_sha256, parquet_sha256: of the files beside this one.
        members: `[name, offset, num_bytes, sha256]` of each member of the tar, in order.
        drops: the items that were not used, with reasons.
        counts: named tallies of the stage (draws rejected and why, ...).
        assets: ids of the foregrounds and backgrounds that it shows.
        seconds: how long it took; the one field that differs between runs.
    """

    stage: str
    shard: str
    fingerprint: str
    inputs: dict[str, str]
    num_items: int
    num_rows: int
    num_bytes: int
    tar_sha256: str
    parquet_sha256: str
    members: list[Member]
    drops: list[Drop] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    assets: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> bytes:
        """Canonical bytes, closed by a hash of themselves (`manifest_sha256`)."""
        body = asdict(self)
        body["members"] = [list(member) for member in self.members]
        body["manifest_sha256"] = hashlib.sha256(canonical_json(body)).hexdigest()
        return canonical_json(body)

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """Read and check a manifest.

        Raises:
            ValueError: it is not the bytes that `to_json` wrote.
        """
        body = json.loads(data)
        if not isinstance(body, dict):
            raise ValueError("a manifest is a JSON object")
        claimed = body.pop("manifest_sha256", None)
        whole = canonical_json({**body, "manifest_sha256": claimed})
        if claimed != hashlib.sha256(canonical_json(body)).hexdigest() or whole != data:
            raise ValueError("the manifest does not hash to its own manifest_sha256")
        body["members"] = [Member(*member) for member in body["members"]]
        return cls(**body)


def read_manifest(store: Store, stage: str, shard: str) -> Manifest | None:
    """The manifest of a shard, or None when the shard is not there (or was never finished).

    Raises:
        ValueError: the file is there and damaged.
    """
    path = f"{stage}/{shard}.json"
    if not store.exists(path):
        return None
    try:
        return Manifest.from_json(store.read(path))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{store.url(path)} is damaged ({error}); remove it to rebuild the shard") from error
