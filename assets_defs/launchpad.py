"""What a person may set in the launchpad for one run; everything else is the profile's, so that it can be repeated."""

from typing import Any

import dagster as dg
from pydantic import Field

MAX_CONCURRENT = 2
"""Steps at once. The executor's own default is one a core, of the whole host; each step uses all cores by itself."""


class TrainingLaunch(dg.Config):
    """Of an asset that learns."""

    changes: dict[str, Any] = Field(
        default={},
        description="Values that differ from the profile's recipe in this run alone, by dotted key: "
        "{schedule.num_steps: 500}. The same as `decoupage train --set`; an unknown key stops the run before its "
        "first step. The next run without them trains by the recipe again.",
    )


def steps_at_once() -> dg.ExecutorDefinition:
    """The executor: each step in a process of its own, and how many at once."""
    schema = {
        "max_concurrent": dg.Field(
            int,
            default_value=MAX_CONCURRENT,
            is_required=False,
            description="Steps at once. Each uses all cores by itself; more are of use where steps wait for a network.",
        )
    }
    return dg.multiprocess_executor.configured(
        lambda config: {"max_concurrent": config["max_concurrent"]}, name="multiprocess", config_schema=schema
    )
