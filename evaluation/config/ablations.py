"""The part `evaluation.ablations` of a profile: which rows a command trains, and what all of them share."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from pipelines.config import Section

RowName = Literal[
    "paper",
    "rank_128",
    "rank_1024",
    "no_foreground_context",
    "no_fused_context",
    "no_generated_foregrounds",
    "kontext_base",
    "no_edges",
    "no_segmentation",
    "no_depth",
]
ROWS: tuple[RowName, ...] = RowName.__args__  # type: ignore[attr-defined]
"""The paper's ten, in its order; `paper` is the full recipe, which the others differ from."""


class AblationsConfig(Section):
    """Rows are the profile's own recipe with one change each."""

    rows: tuple[RowName, ...] = Field(ROWS, min_length=1, description="that `decoupage ablations` trains by itself")
    changes: dict[str, Any] = Field({}, description="values that differ from the profile's recipe in every row alike")
    """Such as a shorter schedule; without any, the row `paper` is the profile's adapter, and is not trained twice."""
    kontext_base: str = Field("", description="folder or hub id of Kontext's weights; empty = the published ones")

    @field_validator("changes", mode="before")
    @classmethod
    def _flattened(cls, values: Any) -> Any:
        return dict(_flat(values)) if isinstance(values, Mapping) else values


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Tables in tables as dotted keys, as `training.changes` takes them."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
