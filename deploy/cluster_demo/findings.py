"""What must hold once the demo has run: each a sentence with what was found.

They ask as a user would: the bucket, the server of Dagster's UI, and a run of the same settings without a cluster.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2

from deploy.cluster_demo.processes import Programs
from deploy.cluster_demo.ray_nodes import NODE
from deploy.cluster_demo.s3 import shards_by_client
from evaluation.gate.history import read_history
from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store

RUNS = """{ runsOrError(filter: {pipelineName: "everything"}) { ... on Runs { results { runId status } } }
assetNodes(assetKeys: [{path: ["champion"]}]) { assetMaterializations(limit: 1) { runId } } }"""
SHARDS = "shards"
_MANIFEST = re.compile(r"(?:held_out/)?[a-z_]+/[0-9]{5}\.json")


@dataclass(frozen=True)
class Finding:
    """What was found, and whether it is as it should be."""

    holds: bool
    sentence: str

    def __str__(self) -> str:
        return f"  {'ok    ' if self.holds else 'FAULT '} {self.sentence}"


def decided(root: str, learned: bool) -> Finding:
    """The gate has decided on the adapter; an adapter that has learned is the champion."""
    history = read_history(Store(root))
    if not history:
        return Finding(False, f"the gate has decided nothing in {root}")
    last = history[-1]
    told = f"the gate has {last.kind} the adapter, champion: {last.champion or 'none'}"
    return Finding(last.champion is not None or not learned, told)


def verified(root: str, environment: Mapping[str, str]) -> Finding:
    """`decoupage shards verify` finds no fault in the bucket."""
    done = _decoupage(["shards", "verify", f"{root}/{SHARDS}"], environment)
    return Finding(done.returncode == 0, f"shards verify: {_last_line(done.stdout or done.stderr)}")


def recorded(url: str) -> Finding:
    """Dagster's UI shows the run, and the champion that it made: from Postgres, for it has no other records."""
    found = httpx2.post(f"{url}/graphql", json={"query": RUNS}, timeout=60).raise_for_status().json()["data"]
    runs = [run["runId"] for run in found["runsOrError"]["results"] if run["status"] == "SUCCESS"]
    made = [one["runId"] for node in found["assetNodes"] for one in node["assetMaterializations"]]
    is_shown = bool(made) and set(made) <= set(runs)
    return Finding(is_shown, f"Postgres holds {len(runs)} finished run(s) of `everything`, and the champion's")


def on_several_nodes(programs: Programs) -> Finding:
    """Shards were made on more than one node of the Ray cluster."""
    found = {name: made for name, made in sorted(shards_by_client(programs).items()) if name.startswith(NODE)}
    told = "; ".join(f"{name} {sum(made.values())}" for name, made in found.items()) or "none"
    return Finding(len(found) > 1, f"shards made by node: {told}")


def same_as_serial(root: str, folders: Sequence[Path], environment: Mapping[str, str]) -> Finding:
    """Every shard of every stage has the hashes that a run in a local folder gives it.

    Args:
        folders: local roots; the first one that holds shards of the same recipe and number is compared. Where none
            does, they are made in the last one, by a serial run of the same settings.
    """
    store = Store(root)
    local = next((folder for folder in folders if _is_of_same(Store(str(folder)), store)), None)
    if local is None:
        local = folders[-1]
        done = _decoupage(["scenes", "make", "--engine", "serial", "--root", str(local)], environment)
        if not _is_of_same(Store(str(local)), store):
            return Finding(False, f"a serial run into {local} failed: {_last_line(done.stderr)}")
    theirs = _hashes(Store(str(local)))
    ours = _hashes(store, theirs)
    differ = sorted(name for name in theirs if ours.get(name) != theirs[name])
    found = (
        f"{len(theirs) - len(differ)} of {len(theirs)} shards of all stages have the hashes that they have in {local}"
    )
    return Finding(not differ, f"{found}; not {', '.join(differ[:5])}" if differ else found)


def all_ended(programs: Programs) -> Finding:
    """No program of the demo is left."""
    left = programs.alive()
    return Finding(not left, f"programs left running: {'; '.join(left.values()) or 'none'}")


def _is_of_same(local: Store, store: Store) -> bool:
    """Whether two roots hold training shards of the same recipe, and as many."""
    if not all(one.exists(f"{SHARDS}/recipe.json") for one in (local, store)):
        return False
    same_recipe = local.read_json(f"{SHARDS}/recipe.json") == store.read_json(f"{SHARDS}/recipe.json")
    return same_recipe and local.names(SHARDS, ".json") == store.names(SHARDS, ".json")


def _hashes(store: Store, names: Iterable[str] = ()) -> dict[str, tuple[str, str]]:
    """Hashes of tar and index by the path of the manifest: of these, or of all; what is absent is left out."""
    found = {}
    for name in names or filter(_MANIFEST.fullmatch, store.tree()):
        folder, _, file = name.rpartition("/")
        manifest = read_manifest(store, folder, file.removesuffix(".json"))
        if manifest is not None:
            found[name] = (manifest.tar_sha256, manifest.parquet_sha256)
    return found


def _decoupage(arguments: list[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "commands.main", *arguments]
    return subprocess.run(line, env=dict(environment), capture_output=True, text=True, check=False)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
