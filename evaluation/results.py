"""Reads the JSON files that an evaluation leaves in its folder. What they say is the business of who wrote them."""

from typing import Any

from decoupage.faults import BadSetup
from pipelines.stages.store import Store


def read_result(store: Store, path: str, *keys: str) -> dict[str, Any]:
    """A file's content, which has at least these keys.

    Raises:
        BadSetup: it is not there, is no JSON object, or lacks a key; the message says how to mend it.
    """
    try:
        content = store.read_json(path)
    except FileNotFoundError:
        raise BadSetup(f"there is no {store.url(path)}; evaluate first (`decoupage evaluate`)") from None
    except BadSetup as fault:
        raise BadSetup(f"{fault}; evaluate anew") from fault
    if not isinstance(content, dict):
        raise BadSetup(f"{store.url(path)} is no JSON object; evaluate anew")
    if absent := [key for key in keys if key not in content]:
        raise BadSetup(f"{store.url(path)} lacks {', '.join(absent)}; evaluate anew")
    return content
