"""Judges a champion again if the list or the protocol has changed since it was promoted."""

import tempfile
from dataclasses import replace

from evaluation.config import EvaluationConfig
from evaluation.gate.decide import METHOD
from evaluation.saved_scores import files_of
from evaluation.test_sets.spec import TestSet
from pipelines.stages.store import Store

CHAMPION = "champion"
"""Folder of its records, beside the candidate's of the same name."""


def rescore(
    adapter: str, test_set: TestSet, config: EvaluationConfig, base: str | None, root: Store
) -> dict[str, bytes]:
    """An evaluation's files of one published adapter, under the name that candidates have.

    Args:
        adapter: folder or address.
        base: folder or hub id of its base; None = the published one.
        root: its answers are kept there, in the test set's room.

    Raises:
        BadSetup: the test set holds no image.
        ValueError: the adapter or the base is not there, or damaged.
    """
    from evaluation.methods.models import adapter_recipe  # torch comes with the methods.
    from evaluation.run import judge

    recipe = replace(adapter_recipe(adapter, base, config, METHOD, CHAMPION), controls=())
    with tempfile.TemporaryDirectory(prefix="decoupage-") as folder:
        store = Store(folder)
        judge(test_set, [recipe], config, store.url("report"), root=root)
        return files_of(store, "report", METHOD)
