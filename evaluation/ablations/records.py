"""What is kept of each row below `<root>/ablations/<row>/`: how it was trained, or why it cannot be."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from decoupage.faults import BadSetup
from evaluation.ablation_rows import find_row
from pipelines.stages.store import Store

FOLDER = "ablations"
RECORD, REPORT = "row.json", "report"
"""Of a row's folder; the record is written last, so what it describes is there."""
Status = Literal["judged", "does_not_apply"]


@dataclass(frozen=True)
class RowRecord:
    """One row as it was made.

    Attributes:
        row: name.
        status: whether it was trained and judged.
        why: of a row that does not apply.
        recipe: fingerprint of its training run.
        changes: what differs from the full row, by dotted key.
        identity: what it was made from: fingerprints of recipe, data, masks, base, RGBA VAE.
        num_steps: of training.
        data_changes: what differs from the full row in how its data were made, by dotted key; empty = the same data.
    """

    row: str
    status: Status
    why: str = ""
    recipe: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    num_steps: int = 0
    data_changes: Mapping[str, Any] = field(default_factory=dict)


def report_folder(row: str) -> str:
    """Of the root: where a row's evaluation lies."""
    return f"{FOLDER}/{find_row(row).name}/{REPORT}"


def forget_row(store: Store, row: str) -> None:
    """Before a row is made again: until then it counts as not trained."""
    store.remove(f"{FOLDER}/{find_row(row).name}/{RECORD}")


def write_row(store: Store, record: RowRecord) -> None:
    """Record a row, once everything else of it is written."""
    content = json.dumps(record.__dict__, indent=1, default=dict) + "\n"
    store.write(f"{FOLDER}/{find_row(record.row).name}/{RECORD}", content.encode())


def read_row(store: Store, row: str) -> RowRecord | None:
    """A row's record; None = not trained.

    Raises:
        BadSetup: it is damaged.
    """
    path = f"{FOLDER}/{find_row(row).name}/{RECORD}"
    if not store.exists(path):
        return None
    try:
        return TypeAdapter(RowRecord).validate_python(store.read_json(path))
    except BadSetup as fault:
        raise BadSetup(f"{fault}; materialize the row again") from fault
    except ValidationError as error:
        raise BadSetup(f"{store.url(path)} is damaged ({error}); materialize the row again") from error
