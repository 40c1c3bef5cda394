"""Fingerprints: the hash of a part of the recipe."""

import hashlib
import json
from typing import Any

Recipe = dict[str, Any]
"""Plain JSON values: everything that decides the bytes of a stage, by key."""


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spare space: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def fingerprint(recipe: Recipe) -> str:
    """The first 16 hex digits of the SHA-256 of a recipe."""
    return hashlib.sha256(canonical_json(recipe)).hexdigest()[:16]
