"""Which packaged photographs and rendered objects are for testing.

Photographs that give backgrounds and rendered objects are chosen by hash, so that nobody chooses them. The packaged
weights have seen none of what is held out. `library.held_out` of the demo's profile lists exactly these.
"""

import hashlib
from collections.abc import Iterable

from pipelines.packaged.cutouts import packaged_cutouts
from pipelines.packaged.photographs import PHOTOGRAPHS

OBJECTS = ("astronaut", "chelsea", "coffee", "flower", "motorcycle")
"""Of photographs that give objects alone."""
NUM_BACKGROUNDS, NUM_RENDERED = 12, 24


def held_out() -> dict[str, tuple[str, ...]]:
    """Kind -> the origins in the library, sorted."""
    rendered = {cutout.name: f"rendered:{cutout.category}/{cutout.name}/0" for cutout in packaged_cutouts()}
    backgrounds = [photograph.name for photograph in PHOTOGRAPHS if photograph.role != "foregrounds"]
    chosen = smallest("rendered", rendered, NUM_RENDERED)
    return {
        "background": smallest("photograph", backgrounds, NUM_BACKGROUNDS),
        "object": OBJECTS,
        "rendered": tuple(sorted(rendered[name] for name in chosen)),
    }


def smallest(kind: str, names: Iterable[str], number: int) -> tuple[str, ...]:
    """The names with the smallest SHA-256 of `kind:name`, sorted."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{kind}:{name}".encode()).hexdigest())
    return tuple(sorted(ranked[:number]))
