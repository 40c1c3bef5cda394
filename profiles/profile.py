"""Reads `configs/*.toml` into frozen models, with overrides from the environment.

Each package owns the model of its own sections (`pipelines/config.py`); here they are put together, with the one
section that belongs to no package, Dagster's. Secrets are never part of a profile: they are read from
the environment where they are used.
"""

import os
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, ValidationError, model_validator

from decoupage.settings import did_you_mean, validated
from evaluation.config import EvaluationConfig
from pipelines.config import DataConfig, Section
from profiles.sentences import sentences
from profiles.values import environment, read_values
from training.profile import TrainingSection

_HERE = Path(__file__).parent
CHECKOUT: Path | None = _HERE.parent if (_HERE.parent / "pyproject.toml").is_file() else None
"""None where the package is installed without its checkout."""
CONFIGS = (CHECKOUT or _HERE) / "configs"
"""A wheel carries the checkout's folder beside this module."""


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
    """Times of the schedules and of the sensor, and how Dagster divides the shards. No part of any recipe."""

    nightly_cron: Cron = Field("0 2 * * *", description="when stale data is made again: minute hour day month weekday")
    weekly_cron: Cron = Field("0 5 * * 6", description="when the adapter is trained again and judged")
    time_zone: Annotated[str, AfterValidator(_zone)] = Field("UTC", description="time zone of both schedules")
    watch_every_s: int = Field(60, ge=5, le=86_400, description="seconds between two checks of the inputs")
    shards_per_partition: int = Field(
        1, ge=1, le=100_000, description="shards in one partition; Dagster is at ease with up to 2,000 partitions"
    )


class Profile(DataConfig):
    """A profile: every number of a run.

    Attributes:
        name: name that the profile was loaded by.
        description: a sentence for a person.
        root: where its files are (folder or fsspec URL), from `DECOUPAGE_ROOT` or `data/<name>`.
        training: which recipes, and how they are started.
        evaluation: how methods are compared.
        automation: times of the schedules, once they are switched on; how the shards are divided into partitions.
    """

    training: TrainingSection = TrainingSection()
    evaluation: EvaluationConfig = EvaluationConfig()
    automation: AutomationConfig = AutomationConfig()
    name: str
    description: str = ""
    root: str = Field(description="folder or fsspec URL")

    @model_validator(mode="after")
    def _pairs_to_draw(self) -> "Profile":
        share = self.training.adapter_config().data.pairs_share
        if share and self.pairs.source == "none":
            raise ValueError(
                f"training draws data.pairs_share = {share:g} of its samples from before/after pairs, and pairs.source "
                '= "none" makes none: set pairs.source = "folder" and pairs.folder, or data.pairs_share = 0'
            )
        return self


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
        known = sorted(file.stem for file in CONFIGS.glob("*.toml"))
        meant = did_you_mean(name, known)
        listed = ", ".join(known)
        raise ValueError(f"there is no profile {name!r}; known: {listed}, or give the path of a .toml file{meant}")
    values = read_values(path)
    for key, (variable, text) in environment().items():
        values.put(key, text, variable)
    for key, text in (overrides or {}).items():
        values.put(key, text)
    short = path.stem
    default_root = str((CHECKOUT or Path.cwd()) / "data" / short)
    values.tables |= {"name": short, "root": root or os.environ.get("DECOUPAGE_ROOT") or default_root}
    try:
        return validated(Profile, values.tables)
    except ValidationError as error:
        raise ValueError(sentences(error, Profile, values)) from None
