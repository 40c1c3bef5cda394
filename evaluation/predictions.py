"""Keeps what the methods of an evaluation made of some cases, to be looked at (`<report>/outputs/`).

An evaluation lets pictures go once they are judged, so these are made once more; how many is the profile's choice.
"""

from collections.abc import Iterable, Sequence

from decoupage.randomness import hash64
from evaluation.config import EvaluationConfig
from evaluation.methods.spec import Method
from evaluation.outputs import write_outputs
from evaluation.test_sets.spec import TestSet
from pipelines.stages.store import Store

OUTPUTS = "outputs"
"""Of a report's folder."""


def keep_predictions(
    test_set: TestSet, methods: Sequence[Method], config: EvaluationConfig, names: Iterable[str], report: str
) -> None:
    """Write the pictures of `inspection.num_predictions` cases, chosen by hash, so that a longer list keeps most.

    Args:
        names: of all cases of the list.
        report: folder of the evaluation's report.
    """
    store = Store(f"{report.rstrip('/')}/{OUTPUTS}")
    store.remove("")
    if config.inspection.num_predictions == 0:
        return
    chosen = sorted(names, key=lambda name: hash64("predictions", name))[: config.inspection.num_predictions]
    write_outputs(test_set, methods, store, set(chosen), config.batch_size)
