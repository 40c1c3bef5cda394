"""`asset`: Dagster's decorator; faults that are not bugs fail a step with a sentence that says the fix.

Dagster would put its own text and a stack trace before it. Any other exception keeps them: it may be a bug.
"""

import functools
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

import dagster as dg
import pyarrow as pa

from decoupage.faults import BadItem, BadOutput, BadSetup


def asset(**options: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorator with the options of `dagster.asset`."""
    return lambda function: dg.asset(**options)(in_words(function))


def in_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but a fault that `sentence` knows fails the step in these words, without retries."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Exception as fault:
            words = sentence(fault)
            if words is None:
                raise
            raise dg.Failure(words, allow_retries=False) from fault

    return wrapped


def sentence(fault: Exception) -> str | None:
    """What is wrong, where, and how to mend it; None = it may be a bug, and needs its stack trace."""
    if isinstance(fault, BadSetup | BadItem | BadOutput):
        return str(fault)
    if isinstance(fault, BrokenExecutor):
        return (
            "a worker process was killed, usually because memory ran out: set engine.workers lower "
            "(DECOUPAGE__ENGINE__WORKERS=1) and materialize again; what is finished is skipped"
        )
    if isinstance(fault, pa.ArrowException):
        return (
            f"a parquet file cannot be read or written: {fault}; `decoupage shards verify` names damaged shards, and "
            "a shard whose .json is removed is made again"
        )
    if isinstance(fault, OSError) and fault.strerror:
        names = " -> ".join(str(name) for name in (fault.filename, fault.filename2) if name is not None)
        return f"{names or 'a file, a pipe or a connection'}: {fault.strerror}; mend this and materialize again"
    return None
