"""Which packaged photographs and rendered objects are for testing.

Rendered objects are chosen by hash, so that nobody chooses them; photographs are those of which the packaged base has
seen nothing. `library.held_out` of the demo's profile lists exactly these.
"""

import hashlib
from collections.abc import Iterable

from pipelines.packaged.cutouts import packaged_cutouts

BACKGROUNDS = ("hubble_deep_field", "nyc", "rocket", "sumac")
OBJECTS = ("chelsea", "coffee", "flower", "motorcycle")
"""Of photographs that give backgrounds, and of those that give objects alone."""
NUM_RENDERED = 24


def held_out() -> dict[str, tuple[str, ...]]:
    """Kind -> the origins in the library, sorted."""
    rendered = {cutout.name: f"rendered:{cutout.category}/{cutout.name}/0" for cutout in packaged_cutouts()}
    chosen = smallest("rendered", rendered, NUM_RENDERED)
    return {
        "background": BACKGROUNDS,
        "object": OBJECTS,
        "rendered": tuple(sorted(rendered[name] for name in chosen)),
    }


def smallest(kind: str, names: Iterable[str], number: int) -> tuple[str, ...]:
    """The names with the smallest SHA-256 of `kind:name`, sorted."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{kind}:{name}".encode()).hexdigest())
    return tuple(sorted(ranked[:number]))
