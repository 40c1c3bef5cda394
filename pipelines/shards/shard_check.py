"""Checks one shard: every byte against the manifest, every scene against its own record.

How a tar is walked is in `tarwalk.py`, what a scene must fulfil in `content.py`; what shards of a folder have in
common is in `verify.py`.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from decoupage.faults import BadItem, BadSetup
from pipelines.scenes.read import MAX_SCENE_BYTES, MAX_SCENE_MEMBERS, is_key, key_of, suffix_of
from pipelines.scenes.record import SCENES_SCHEMA, SCHEMA
from pipelines.shards.content import check_scene
from pipelines.shards.faults import Finding
from pipelines.shards.folder import ShardFolder
from pipelines.shards.join import MASKS_FINGERPRINT, SCENES_FINGERPRINT
from pipelines.shards.tarwalk import TarWalk, Walked
from pipelines.stages.manifest import Manifest
from pipelines.stages.tables import parquet_rows, parquet_table
from pipelines.stages.tarfiles import BLOCK

_UNFORESEEN: tuple[type[Exception], ...] = (
    *(BadItem, BadSetup, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RecursionError, MemoryError),
)
"""What a forged file may raise that no check here names; it is then a fault of its shard."""
_MIN_TAR_BYTES = 64 << 20
_STEM = re.compile(r"[A-Za-z0-9_-]{1,99}")
_NAME = "is not a member's name (<key>.<suffix>, the key letters, digits, - and _, of a scene at most 64)"
Rows = dict[str, list[dict[str, Any]]]


@dataclass
class ShardResult:
    """What was seen in one shard; `fingerprint` is empty when the manifest could not be read."""

    shard: str
    fingerprint: str = ""
    num_scenes: int = 0
    num_layers: int = 0
    num_bytes: int = 0
    keys: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def check_shard(address: tuple[ShardFolder, str]) -> ShardResult:
    """Check one shard of a folder, from front to back, one scene in memory at a time.

    Nothing that a shard holds ends the check of the others.
    """
    folder, shard = address
    result = ShardResult(shard)
    try:
        _check(folder, shard, result)
    except _UNFORESEEN as error:
        result.findings.append(Finding(f"{shard}.tar", "unreadable", f"{type(error).__name__}: {error}"))
    return result


def _check(folder: ShardFolder, shard: str, result: ShardResult) -> None:
    manifest = _read_manifest(folder, result)
    try:
        result.num_bytes = folder.store.size(f"{shard}.tar")
    except FileNotFoundError:
        result.findings.append(Finding(f"{shard}.tar", "missing_file", "is not there"))
        _read_rows(folder, manifest, result)
        return
    rows = _read_rows(folder, manifest, result)
    with folder.open(f"{shard}.tar") as file:
        walk = TarWalk(file, result.num_bytes)
        _check_scenes(walk, manifest, rows, result)
    result.findings += walk.findings
    result.findings += _check_counts(manifest, walk, result)
    if rows is not None and not walk.stopped:
        lost = sorted(set(rows) - set(result.keys))
        result.findings += [
            Finding(f"{shard}.parquet", "unknown_key", f"has rows of {key}, which is not in the tar") for key in lost
        ]


def _read_manifest(folder: ShardFolder, result: ShardResult) -> Manifest | None:
    name = f"{result.shard}.json"
    try:
        manifest = Manifest.from_json(folder.store.read(name))
    except FileNotFoundError:
        result.findings.append(Finding(name, "missing_file", "is not there, so nothing says what the bytes must be"))
        return None
    except (ValueError, TypeError, BadSetup) as error:
        result.findings.append(Finding(name, "bad_manifest", " ".join(str(error).split())))
        return None
    if manifest.shard != result.shard:
        result.findings.append(Finding(name, "wrong_shard", f"is the manifest of {manifest.shard}"))
    result.fingerprint = manifest.fingerprint
    return manifest


def _read_rows(folder: ShardFolder, manifest: Manifest | None, result: ShardResult) -> Rows | None:
    """Rows of the parquet index by key; None when they cannot be trusted or read, which is then a fault."""
    name = f"{result.shard}.parquet"
    try:
        data = folder.store.read(name)
    except FileNotFoundError:
        result.findings.append(Finding(name, "missing_file", "is not there"))
        return None
    if manifest is not None and hashlib.sha256(data).hexdigest() != manifest.parquet_sha256:
        result.findings.append(Finding(name, "sha256", f"its {len(data)} bytes do not hash to what the manifest says"))
        return None
    try:
        num_rows = parquet_rows(data)
        if manifest is not None and num_rows != manifest.num_rows:
            detail = f"has {num_rows} rows, the manifest says {manifest.num_rows}"
            result.findings.append(Finding(name, "row_count", detail))
        if not _holds_scenes(manifest):
            return None
        # A layer has a row, and a header and a block in the tar; one that was cut off or lost is taken for a small one.
        table = parquet_table(data, max_rows=max(result.num_bytes, _MIN_TAR_BYTES) // (2 * BLOCK))
    except ValueError as error:
        result.findings.append(Finding(name, "bad_parquet", str(error)))
        return None
    _, joined = _expected(manifest)
    if table.schema.names != (SCHEMA if joined else SCENES_SCHEMA).names:
        result.findings.append(Finding(name, "columns", f"are not those of scenes: {table.schema.names}"))
        return None
    rows: Rows = {}
    for row in table.to_pylist():
        rows.setdefault(str(row["key"]), []).append(row)
    return rows


def _holds_scenes(manifest: Manifest | None) -> bool:
    """Without a manifest, shards are taken for joined ones: those are the ones that travel."""
    return manifest is None or any(member.name.endswith(".background.jpg") for member in manifest.members)


def _check_scenes(walk: TarWalk, manifest: Manifest | None, rows: Rows | None, result: ShardResult) -> None:
    recipes, joined = _expected(manifest)
    walked = walk.unknown() if manifest is None else walk.known(manifest.members)
    for key, group in groupby(walked, key=lambda pair: key_of(pair[0])):
        pairs = list(_bounded(key, group, result))
        # Sources name their members by ids, which may be longer than the keys of scenes.
        if not (is_key(key) if _holds_scenes(manifest) else _STEM.fullmatch(key)):
            result.findings += [Finding(name, "bad_name", _NAME) for name, _ in pairs]
            continue
        members = {suffix_of(name): data for name, data in pairs if data is not None}
        for name, times in Counter(name for name, _ in pairs).items():
            if times > 1:
                result.findings.append(Finding(name, "repeated_member", f"is in the tar {times} times"))
        result.keys.append(key)
        result.num_scenes += 1
        # A scene with a damaged member has its fault already; what follows from it would only hide that.
        if not _holds_scenes(manifest) or walk.stopped or len(members) < len(pairs):
            continue
        own = None if rows is None else rows.get(key, [])
        result.num_layers += sum(suffix.startswith("layer") for suffix in members)
        result.findings += check_scene(key, members, own, recipes, joined)


def _bounded(key: str, group: Iterator[Walked], result: ShardResult) -> Iterator[Walked]:
    """The members of a key, of which no more are held in memory than a scene can have."""
    held = 0
    for number, (name, data) in enumerate(group):
        held += len(data or b"")
        if number == MAX_SCENE_MEMBERS or (held > MAX_SCENE_BYTES and data):
            result.findings.append(Finding(key, "too_large", "has more members, or more bytes, than any scene"))
        whole = number < MAX_SCENE_MEMBERS and held <= MAX_SCENE_BYTES
        if not whole:
            held -= len(data or b"")
        yield name, data if whole else None


def _expected(manifest: Manifest | None) -> tuple[dict[str, str], bool]:
    """(fingerprints that each scene's json names, by key; whether masks and maps must be there)."""
    if manifest is None:
        return {}, True
    if SCENES_FINGERPRINT not in manifest.inputs:
        return {"recipe": manifest.fingerprint}, False
    keys = {"recipe": SCENES_FINGERPRINT, "masks_recipe": MASKS_FINGERPRINT}
    # Shards of the first format name one recipe, which held that of the masks.
    return {kind: manifest.inputs[key] for kind, key in keys.items() if key in manifest.inputs}, True


def _check_counts(manifest: Manifest | None, walk: TarWalk, result: ShardResult) -> Iterator[Finding]:
    for key, times in Counter(result.keys).items():
        if times > 1:
            yield Finding(key, "repeated_key", f"is in the tar {times} times")
    # A tar that was not read to its end has no hash, and its faults are reported already.
    if manifest is None or walk.findings:
        return
    name = f"{result.shard}.json"
    if _holds_scenes(manifest) and manifest.num_items != result.num_scenes:
        yield Finding(name, "item_count", f"says {manifest.num_items} items, the tar holds {result.num_scenes}")
    if manifest.num_bytes != result.num_bytes:
        yield Finding(name, "num_bytes", f"says {manifest.num_bytes} bytes, the tar has {result.num_bytes}")
    if manifest.tar_sha256 != walk.sha256:
        yield Finding(f"{result.shard}.tar", "sha256", "the tar does not hash to what the manifest says")
