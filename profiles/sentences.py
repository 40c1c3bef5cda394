"""What is wrong with a profile's values, in sentences that name the key, the allowed range, and who set the value."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from decoupage.settings import did_you_mean, known_keys
from decoupage.text_files import printable
from profiles.values import Values

_OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of")
_LIMITS = ("ge", "gt", "le", "lt", "multiple_of")


def sentences(error: ValidationError, model: type[BaseModel], values: Values) -> str:
    """All faults that pydantic found, those of one origin together: `demo.toml: scenes.num_scenes is missing`."""
    by_origin: dict[str, list[str]] = {}
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"])
        origin, key = _origin(path, values)
        is_unknown = fault["type"] == "extra_forbidden"
        by_origin.setdefault(origin, []).append(_sentence(fault, key if is_unknown and key else path, model))
    return "; ".join(f"{origin}{': ' if origin else ''}{'; '.join(said)}" for origin, said in by_origin.items())


def _origin(path: str, values: Values) -> tuple[str, str]:
    """Who set what a fault's path names; and the whole key that was given where the path is only a part of it."""
    whole = [key for key in values.given if f"{path}.".startswith(f"{key}.")]
    if whole:
        return values.given[whole[0]], ""
    inside = [key for key in values.given if path and key.startswith(f"{path}.")]
    if inside and not values.in_file(path):
        return values.given[inside[0]], inside[0]
    return " with ".join([values.file, *filter(None, (values.given[key] for key in inside))]), ""


def _sentence(fault: Any, path: str, model: type[BaseModel]) -> str:
    """One pydantic fault as `scenes.size_px must be in [64, 2048], got -3`."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key {printable(path)}{did_you_mean(path, list(known_keys(model)))}"
    if kind == "missing":
        return f"{path} is missing"
    if kind == "value_error":
        return f"{path}: {context['error']}" if path else str(context["error"])
    got = _shown(fault["input"])
    if kind in _OUT_OF_RANGE:
        return f"{path} must be in {_bounds(_field(model, fault['loc']))}, got {got}"
    wanted = f"{fault['msg'][0].lower()}{fault['msg'][1:]}".replace("be an object", "be a section with keys")
    quotes = f", as in '\"{got}\"'" if kind == "string_type" and isinstance(fault["input"], int | float) else ""
    return f"{path}: {wanted}{quotes}, got {got}"


def _shown(value: Any) -> str:
    """A value as TOML writes it, where that differs from Python, and cut."""
    return json.dumps(value) if isinstance(value, bool) else printable(repr(value))


def _field(model: type[BaseModel], loc: tuple[Any, ...]) -> Any:
    """The innermost field that a fault's location names."""
    field: Any = None
    for part in loc:
        fields: Mapping[str, Any] = getattr(model, "model_fields", {})
        if part not in fields:
            break
        field = fields[part]
        model = field.annotation
    return field


def _bounds(field: Any) -> str:
    """The allowed range of a field as `[0, 64]`, `(0, inf)` where an end is open, with the step where there is one."""
    metadata = list(field.metadata) if isinstance(field, FieldInfo) else []
    for argument in getattr(getattr(field, "annotation", None), "__args__", ()):
        metadata += list(getattr(argument, "__metadata__", ()))
    flat = [part for item in metadata for part in getattr(item, "metadata", [item])]
    limits = {name: getattr(item, name) for item in flat for name in _LIMITS if getattr(item, name, None) is not None}
    low = f"[{limits['ge']}" if "ge" in limits else f"({limits.get('gt', '-inf')}"
    high = f"{limits['le']}]" if "le" in limits else f"{limits.get('lt', 'inf')})"
    step = f" and a multiple of {limits['multiple_of']}" if "multiple_of" in limits else ""
    return f"{low}, {high}{step}"
