"""Reads the JSON files that an evaluation leaves in its folder. What they say is the business of who wrote them."""

import json
from typing import Any

from decoupage.faults import BadSetup
from pipelines.stages.store import Store


def read_result(store: Store, path: str, *keys: str) -> dict[str, Any]:
    """A file's content, which has at least these keys.

    Raises:
        BadSetup: it is not there, is no JSON object, or lacks a key; the message says how to mend it.
    """
    if not store.exists(path):
        raise BadSetup(f"there is no {store.url(path)}; evaluate first (`decoupage evaluate`)")
    try:
        content = json.loads(store.read(path))
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        absent = [key for key in keys if key not in content]
        if absent:
            raise ValueError(f"it lacks {', '.join(absent)}")
    except ValueError as error:
        raise BadSetup(f"{store.url(path)} is damaged ({error}); evaluate anew") from error
    return content
