"""Reads the JSON files that an evaluation leaves in its folder. The modules that write them know their meaning."""

from typing import Any

from decoupage.faults import BadSetup
from pipelines.stages.store import Store


def read_result(store: Store, path: str, *keys: str) -> dict[str, Any]:
    """A file's content, which has at least these keys.

    Raises:
        BadSetup: it is missing, is not a JSON object, or lacks a key; the message says how to fix it.
    """
    try:
        content = store.read_json(path)
    except FileNotFoundError:
        raise BadSetup(f"there is no {store.url(path)}; evaluate first (`decoupage evaluate`)") from None
    except BadSetup as fault:
        raise BadSetup(f"{fault}; evaluate again") from fault
    if not isinstance(content, dict):
        raise BadSetup(f"{store.url(path)} is not a JSON object; evaluate again")
    if absent := [key for key in keys if key not in content]:
        raise BadSetup(f"{store.url(path)} lacks {', '.join(absent)}; evaluate again")
    return content
