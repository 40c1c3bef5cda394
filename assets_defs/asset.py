"""`asset`: Dagster's, whose run page shows a fault of the set-up as the sentence that says how to mend it.

Dagster would put its own words and stack before it. Whatever else is raised keeps them: it may be a fault of the code.
"""

import functools
from collections.abc import Callable
from typing import Any

import dagster as dg

from decoupage.faults import BadItem, BadSetup


def asset(**options: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """As `dagster.asset`, which it passes all options to."""
    return lambda function: dg.asset(**options)(in_words(function))


def in_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose BadSetup and BadItem fail the step in their own words; trying again would not help."""

    @functools.wraps(function)
    def told(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except (BadSetup, BadItem) as fault:
            raise dg.Failure(str(fault), allow_retries=False) from fault

    return told
