"""A champion judged anew, where the list or the protocol is another one than when it was promoted."""

import tempfile
from pathlib import Path

from evaluation.config import EvaluationConfig
from evaluation.gate.decide import METHOD
from evaluation.saved_scores import files_of
from evaluation.test_sets.spec import TestSet
from pipelines.stages.store import Store


def rescore(adapter: Path, test_set: TestSet, config: EvaluationConfig, base: str | None) -> dict[str, bytes]:
    """An evaluation's files of one published adapter, under the name that candidates have.

    Args:
        base: folder or hub id of its base; None = the published one.

    Raises:
        BadSetup: the test set holds no image.
        ValueError: the adapter or the base is not there, or damaged.
    """
    from evaluation.methods.models import adapter_facts, adapter_method  # torch comes with the methods.
    from evaluation.report import About
    from evaluation.run import judge

    method = adapter_method(str(adapter), base, config.num_steps, config.seed, METHOD)
    about = About(models={METHOD: adapter_facts(str(adapter))})
    with tempfile.TemporaryDirectory(prefix="decoupage-") as folder:
        store = Store(folder)
        judge(test_set, [method], config, store.url("report"), about)
        return files_of(store, "report", METHOD)
