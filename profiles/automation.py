"""When the schedules tick. Whether they do at all is switched in the UI, never here."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from pipelines.config import Section


def _cron(text: str) -> str:
    # croniter would do, but it comes and goes among the orchestrator's dependencies; the orchestrator checks the rest.
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
    time_zone: Annotated[str, AfterValidator(_zone)] = Field("UTC", description="of both")
    watch_every_s: int = Field(60, ge=5, le=86_400, description="between two looks at the inputs")
