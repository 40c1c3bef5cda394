"""What all sections share: frozen models whose fields say their unit, with allowed ranges; how values become one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, le=1000.0)]
Pixels = Annotated[int, Field(ge=0, le=512)]
Model = TypeVar("Model", bound=BaseModel)
_ALIKE = 0.75
"""Least likeness of a key to one that it is taken to mean, as difflib measures it; ours."""


class Section(BaseModel):
    """A part of a profile: frozen, without unknown keys, and with finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """A model of values as people write them, with lists for tuples; none is taken for one of another type.

    `true` is not a number, `1` is not `true`, `3.0` is not a whole number, `"3"` is neither; a whole number may stand
    where a fraction may.

    Raises:
        ValidationError: of pydantic: values that are impossible, missing, or of another type.
    """
    # Through JSON: from it strict pydantic takes a list for a tuple, from Python values it does not.
    return model.model_validate_json(json.dumps(values, default=str), strict=True)


def check_range(name: str, low_high: tuple[float, float]) -> None:
    """Raises ValueError when a range is upside down."""
    if low_high[0] > low_high[1]:
        raise ValueError(f"{name} must be [low, high] with low <= high, got {list(low_high)}")


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All keys of a model and of those in it, dotted."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for inner in _models(field.annotation):
            yield from known_keys(inner, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Models that a field may hold; those in a table of any names have no key that is known."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif getattr(annotation, "__origin__", None) is not dict:
        for argument in get_args(annotation):
            yield from _models(argument)


def did_you_mean(key: str, known: Sequence[str]) -> str:
    """`; did you mean scenes.num_scenes?` for a key that there is not; empty where none is like it."""
    wanted = key.lower().replace("-", "_")
    found = [one for one in known if one.rpartition(".")[2] == wanted.rpartition(".")[2]]
    found = get_close_matches(wanted, found, 3, 0.0) or get_close_matches(wanted, known, 1, _ALIKE)
    if not found:
        last = {one.rpartition(".")[2]: one for one in known}
        found = [last[name] for name in get_close_matches(wanted.rpartition(".")[2], last, 1, _ALIKE)]
    return f"; did you mean {' or '.join(found)}?" if found else ""
