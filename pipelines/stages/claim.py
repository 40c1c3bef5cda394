"""The claim that a stage's folder holds one recipe only."""

import json
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import Recipe, fingerprint
from pipelines.stages.store import Store

RECIPE = "recipe.json"
"""In the folder of a stage: what it holds."""


def claim(store: Store, stage: str, recipe: Recipe, layout: Recipe) -> None:
    """Mark a stage's folder as holding this recipe and shard layout, or refuse one that holds another.

    The layout (how many items a shard takes) does not change an item's bytes, but it changes which shard holds
    it, so a folder cannot mix two.

    Raises:
        BadSetup: the folder holds another recipe; the message names both fingerprints and the keys that differ.
    """
    path = f"{stage}/{RECIPE}"
    ours = {"fingerprint": fingerprint(recipe), "recipe": recipe, "layout": layout}
    if not store.exists(path):
        store.write(path, json.dumps(ours, indent=1, sort_keys=True).encode())
        return
    theirs = json.loads(store.read(path))
    if theirs["fingerprint"] == ours["fingerprint"] and theirs["layout"] == layout:
        return
    keys = sorted(set(_differences(theirs["recipe"], recipe)) | set(_differences(theirs["layout"], layout)))
    raise BadSetup(
        f"{store.url(stage)} holds recipe {theirs['fingerprint']}, the profile asks for {ours['fingerprint']}; "
        f"they differ in {', '.join(keys)}. Put those values back, choose another root, or remove that folder "
        "and the folders made from it."
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
