"""Seeded randomness: every draw is a function of (recipe seed, stage name, key) and of nothing else.

No global generator, no worker seed, no clock: the order in which work is done cannot matter.
"""

import hashlib

import numpy as np


def digest(*parts: object) -> bytes:
    """SHA-256 of the parts, joined unambiguously (each with its length)."""
    sha = hashlib.sha256()
    for part in parts:
        text = str(part).encode()
        sha.update(len(text).to_bytes(8, "big"))
        sha.update(text)
    return sha.digest()


def hash64(*parts: object) -> int:
    """A uniform integer in [0, 2**64) that depends on the parts only."""
    return int.from_bytes(digest(*parts)[:8], "big")


def generator(seed: int, stage: str, key: object) -> np.random.Generator:
    """The random stream of one item of one stage (Philox, a counter-based generator)."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest(seed, stage, key)[:16], "big")))
