"""The json files of a stage's folder: `recipe.json`, which binds it to one recipe, and the manifest beside every tar.

A manifest is written last, so its presence means that the shard is complete.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from decoupage.faults import BadSetup
from decoupage.fingerprint import Recipe, canonical_json, fingerprint
from pipelines.stages.ahead import read_ahead
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import Member


def claim(store: Store, stage: str, recipe: Recipe, layout: Recipe) -> None:
    """Bind a stage's folder to this recipe and shard layout, or refuse one that is bound to another.

    The layout (how many items a shard takes) does not change an item's bytes, but it changes which shard holds
    it, so a folder cannot mix two layouts. If two recipes claim a folder at the same instant, one gets it.

    Raises:
        BadSetup: the folder holds another recipe (the message names both fingerprints and the keys that differ), holds
            shards of another one though its `recipe.json` is gone, or its `recipe.json` is damaged.
    """
    path = f"{stage}/{RECIPE}"
    wanted = fingerprint(recipe)
    if not store.exists(path):
        _refuse_shards_of_others(store, stage, wanted)
        ours = {"fingerprint": wanted, "recipe": recipe, "layout": layout}
        if store.create(path, json.dumps(ours, indent=1, sort_keys=True).encode()):
            return
    theirs = _read_recipe(store, path)
    if theirs["fingerprint"] == wanted and theirs["layout"] == layout:
        return
    keys = sorted(set(_differences(theirs["recipe"], recipe)) | set(_differences(theirs["layout"], layout)))
    raise BadSetup(
        f"{store.url(stage)} holds recipe {theirs['fingerprint']}, the profile asks for {wanted}; "
        f"they differ in {', '.join(keys)}. {_REMEDY}"
    )


def _read_recipe(store: Store, path: str) -> dict[str, Any]:
    """What a `recipe.json` says: `fingerprint`, `recipe`, `layout`."""
    try:
        told: dict[str, Any] = store.read_json(path)
        if not isinstance(told["layout"], dict) or fingerprint(told["recipe"]) != told["fingerprint"]:
            raise BadSetup(f"{store.url(path)} does not hash to the fingerprint that it names")
    except (BadSetup, KeyError, TypeError, ValueError) as error:
        raise BadSetup(
            f"{store.url(path)} is damaged ({error}). Remove it: the next run writes it again, and refuses the folder "
            "if its shards are of another recipe"
        ) from error
    return told


def _refuse_shards_of_others(store: Store, stage: str, ours: str) -> None:
    """Raise BadSetup where finished shards of another recipe lie in a folder whose `recipe.json` is gone."""
    for name in store.names(stage, ".json"):
        shard = name.removesuffix(".json")
        if not shard.isdecimal():
            continue
        manifest = read_manifest(store, stage, shard)
        if manifest is not None and manifest.fingerprint != ours:
            raise BadSetup(
                f"{store.url(stage)} holds shards of recipe {manifest.fingerprint} ({shard} first), the profile asks "
                f"for {ours}, and its {RECIPE} is gone. {_REMEDY}"
            )


def _differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    if theirs == ours:
        return []
    if not (isinstance(theirs, dict) and isinstance(ours, dict)):
        return [f"{path} ({theirs!r} there, {ours!r} here)"]
    keys = sorted(set(theirs) | set(ours))
    return [
        line for key in keys for line in _differences(theirs.get(key), ours.get(key), f"{path}.{key}" if path else key)
    ]


_REMEDY = "Restore those values, choose another root, or remove that folder and the folders made from it."
RECIPE = "recipe.json"
"""Name of the file in a stage's folder that says which recipe it holds."""
Drop = dict[str, str]
"""`{"id", "reason", "detail"}` of one item that was not used."""


@dataclass(frozen=True)
class Manifest:
    """The contents of one shard, and the inputs it was made from.

    Attributes:
        stage, shard: its folder and its number.
        fingerprint: fingerprint of the recipe that made it.
        inputs: hashes of its inputs; when they change, the shard is stale.
        num_items, num_rows: number of items kept, and of rows in the parquet index.
        num_bytes, tar_sha256, parquet_sha256: size of the tar, and hashes of the tar and the parquet index.
        members: `[name, offset, num_bytes, sha256]` of each member of the tar, in order.
        drops: the items that were not used, with reasons.
        counts: named counts of the stage (rejected draws by reason, ...).
        assets: ids of the foregrounds and backgrounds that it shows.
        seconds: duration; the only field that differs between runs.
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
        """Canonical JSON that includes the hash of its other fields (`manifest_sha256`)."""
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
        try:
            body = json.loads(data)
            if not isinstance(body, dict):
                raise ValueError("a manifest is a JSON object")
            claimed = body.pop("manifest_sha256", None)
            whole = canonical_json({**body, "manifest_sha256": claimed})
            if claimed != hashlib.sha256(canonical_json(body)).hexdigest() or whole != data:
                raise ValueError("the manifest does not hash to its own manifest_sha256")
            # A forged manifest can have a hash that fits, so each value is checked.
            said = _Said.model_validate_json(canonical_json(body))
        except RecursionError as error:
            raise ValueError("its brackets are nested too deeply") from error
        values = {name: getattr(said, name) for name in _Said.model_fields}
        return cls(**values | {"members": [Member(*member) for member in said.members]})


_Count = Annotated[int, Field(ge=0, le=1 << 53)]


class _Said(BaseModel):
    """The values of a manifest as its file must hold them."""

    model_config = ConfigDict(strict=True, extra="forbid")
    stage: str
    shard: str
    fingerprint: str
    inputs: dict[str, str]
    num_items: _Count
    num_rows: _Count
    num_bytes: _Count
    tar_sha256: str
    parquet_sha256: str
    members: list[tuple[str, _Count, _Count, str]]
    drops: list[Annotated[dict[Literal["id", "reason", "detail"], str], Field(min_length=3)]] = []
    counts: dict[str, int] = {}
    assets: list[str] = []
    seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0


class CurrentByInputs:
    """A stage whose finished shards are current while their inputs are those that they were made from."""

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        """True when the inputs are the same (`pipelines.stages.run.Stage`)."""
        return manifest.inputs == inputs


def read_manifest(store: Store, stage: str, shard: str) -> Manifest | None:
    """The manifest of a shard; None when the shard is absent or was never finished.

    Raises:
        BadSetup: the file is damaged, or another shard's.
    """
    return next(read_manifests(store, stage, [shard]))


def read_manifests(store: Store, stage: str, shards: Sequence[str]) -> Iterator[Manifest | None]:
    """The manifests of shards, in their order, of an object store many at once; None as `read_manifest`.

    Raises:
        BadSetup: a file is damaged, or another shard's.
    """
    paths = [f"{stage}/{shard}.json" for shard in shards]
    for shard, path, data in zip(shards, paths, read_ahead(store, paths), strict=True):
        try:
            manifest = None if data is None else Manifest.from_json(data)
            if manifest is not None and manifest.shard != shard:
                raise ValueError(f"it is that of shard {manifest.shard}")
        except (ValueError, TypeError) as error:
            raise BadSetup(f"{store.url(path)} is damaged ({error}); remove it to rebuild the shard") from error
        yield manifest
