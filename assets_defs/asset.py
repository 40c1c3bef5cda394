"""`asset`: Dagster's decorator, but a fault of the set-up shows on the run page as the sentence that says its fix.

Dagster would put its own words and a stack before it. Any other exception keeps them: it may be a fault of the code.
"""

import functools
from collections.abc import Callable
from typing import Any

import dagster as dg

from decoupage.faults import BadItem, BadSetup


def asset(**options: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorator with the options of `dagster.asset`."""
    return lambda function: dg.asset(**options)(in_words(function))


def in_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but its BadSetup and BadItem fail the step in their own words, without retries."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except (BadSetup, BadItem) as fault:
            raise dg.Failure(str(fault), allow_retries=False) from fault

    return wrapped
