"""Reads `configs/*.toml` into frozen models, with overrides from the environment.

Each package owns the model of its own sections (`pipelines/config.py`); here they are put together, with the section
of no package, the times of the schedules. Secrets are never part of a profile: they are read from the environment
where they are used.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from evaluation.config import EvaluationConfig
from pipelines.config import DataConfig, Section
from training.profile import TrainingSection

_HERE = Path(__file__).parent
CHECKOUT: Path | None = _HERE.parent if (_HERE.parent / "pyproject.toml").is_file() else None
"""None where the package is installed without its checkout."""
CONFIGS = (CHECKOUT or _HERE) / "configs"
"""A wheel carries the checkout's folder beside this module."""
_PREFIX = "DECOUPAGE__"
_OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of")
_LIMITS = ("ge", "gt", "le", "lt", "multiple_of")


def _cron(text: str) -> str:
    # Dagster checks the rest; croniter would do here, but it is not always among Dagster's dependencies.
    if len(text.split()) != 5:
        raise ValueError(f"must be a cron line of five fields such as '0 2 * * *', got {text!r}")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"must be a time zone such as 'UTC' or 'Europe/Berlin', got {name!r}") from None
    return name


Cron = Annotated[str, AfterValidator(_cron)]


class AutomationConfig(Section):
    """Times of the schedules and of the sensor."""

    nightly_cron: Cron = Field("0 2 * * *", description="when stale data is made anew: minute hour day month weekday")
    weekly_cron: Cron = Field("0 5 * * 6", description="when the adapter is trained anew and judged")
    time_zone: Annotated[str, AfterValidator(_zone)] = Field("UTC", description="time zone of both schedules")
    watch_every_s: int = Field(60, ge=5, le=86_400, description="seconds between two looks at the inputs")


class Profile(DataConfig):
    """A profile: every number of a run.

    Attributes:
        name: name that the profile was loaded by.
        description: a sentence for a person.
        root: where its files are (folder or fsspec URL), from `DECOUPAGE_ROOT` or `data/<name>`.
        training: which recipes, and how they are started.
        evaluation: how methods are compared.
        automation: times of the schedules, once somebody has switched them on.
    """

    training: TrainingSection = TrainingSection()
    evaluation: EvaluationConfig = EvaluationConfig()
    automation: AutomationConfig = AutomationConfig()
    name: str
    description: str = ""
    root: str = Field(description="folder or fsspec URL")


def load_profile(name: str | None = None, root: str | None = None, overrides: dict[str, str] | None = None) -> Profile:
    """Load a profile by name (a file in `configs/`) or by the path of a TOML file.

    Args:
        name: None takes `DECOUPAGE_PROFILE`, else `demo`.
        root: None takes `DECOUPAGE_ROOT`, else `data/<profile>` in the checkout (or the working directory of an
            installed copy, which has none).
        overrides: dotted keys to values as TOML text, e.g. `{"scenes.num_scenes": "8"}`; they win over
            `DECOUPAGE__SECTION__FIELD` variables, which win over the file.

    Raises:
        ValueError: no such profile, an unknown key, or an impossible value; the message names the key's path.
    """
    name = name or os.environ.get("DECOUPAGE_PROFILE") or "demo"
    path = Path(name) if name.endswith(".toml") else CONFIGS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.toml")))
        raise ValueError(f"there is no profile {name!r}; known: {known}, or give the path of a .toml file")
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    for key, text in {**_environment(), **(overrides or {})}.items():
        _put(values, key, text)
    short = path.stem
    default_root = str((CHECKOUT or Path.cwd()) / "data" / short)
    values |= {"name": short, "root": root or os.environ.get("DECOUPAGE_ROOT") or default_root}
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path.name}: " + "; ".join(_sentence(fault) for fault in error.errors())) from None


def _environment() -> dict[str, str]:
    """Overrides in the environment: `DECOUPAGE__SCENES__NUM_SCENES=128` gives `{"scenes.num_scenes": "128"}`."""
    found = {key: value for key, value in os.environ.items() if key.startswith(_PREFIX)}
    return {key.removeprefix(_PREFIX).lower().replace("__", "."): value for key, value in found.items()}


def _put(values: dict[str, Any], key: str, text: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ValueError(f"{key}: {section} is a value, not a section")
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text  # A bare word, as people write strings in the environment.


def _sentence(fault: Any) -> str:
    """One pydantic fault as `scenes.size_px must be in [64, 2048], got -3`."""
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {path}"
    if fault["type"] == "missing":
        return f"{path} is missing"
    if fault["type"] == "value_error":
        return f"{path}: {fault['ctx']['error']}" if path else str(fault["ctx"]["error"])
    if fault["type"] in _OUT_OF_RANGE:
        return f"{path} must be in {_bounds(_field(Profile, fault['loc']))}, got {fault['input']!r}"
    return f"{path}: {fault['msg'][0].lower()}{fault['msg'][1:]}, got {fault['input']!r}"


def _field(model: type[BaseModel], loc: tuple[Any, ...]) -> Any:
    """The innermost field that a fault's location names."""
    field: Any = None
    for part in loc:
        fields = getattr(model, "model_fields", {})
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
