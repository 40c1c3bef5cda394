"""What the shards themselves do not say: draws that were refused, and items that the stages before them left out."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store

REJECTED = "rejected."
"""Prefix of the scenes stage's tallies of refused draws."""
Counts = dict[str, int]


@dataclass(frozen=True)
class Tallies:
    """Reason -> number of refused draws, and stage -> reason -> number of items left out; most frequent first."""

    rejected_draws: Counts
    drops: dict[str, Counts]


def read_tallies(store: Store, shards: Iterable[str]) -> Tallies:
    """Sum the scenes' manifests and count the quarantine files."""
    rejected: Counter[str] = Counter()
    for shard in shards:
        scenes = read_manifest(store, "scenes", shard)
        counts = scenes.counts if scenes else {}
        rejected.update({name.removeprefix(REJECTED): n for name, n in counts.items() if name.startswith(REJECTED)})
    drops = {}
    for name in store.names("quarantine", ".jsonl"):
        lines = store.read(f"quarantine/{name}").splitlines()
        reasons = Counter(str(json.loads(line)["reason"]) for line in lines if line)
        if reasons:
            drops[name.removesuffix(".jsonl")] = _ranked(reasons)
    return Tallies(_ranked(rejected), drops)


def _ranked(counts: Counter[str]) -> Counts:
    return dict(sorted(((name, n) for name, n in counts.items() if n), key=lambda item: (-item[1], item[0])))
