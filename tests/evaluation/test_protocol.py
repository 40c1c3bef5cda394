"""What decides a score: not where a file lies, but what it holds."""

from evaluation.config import EvaluationConfig, WeightsConfig
from evaluation.protocol import protocol_of


def config(path="a.pth", sha256="0" * 64, **changes):
    metrics = EvaluationConfig().metrics.model_copy(update={"inception": WeightsConfig(path=path, sha256=sha256)})
    return EvaluationConfig().model_copy(update={"metrics": metrics, **changes})


def test_files_may_move():
    assert protocol_of(config("a.pth")) == protocol_of(config("b.pth"))


def test_other_weights_steps_and_seeds_are_another_protocol():
    ours = protocol_of(config())
    others = (config(sha256="1" * 64), config(num_steps=2), config(seed=9), EvaluationConfig())
    assert all(protocol_of(other) != ours for other in others)


def test_what_changes_no_score_is_no_part_of_it():
    assert protocol_of(config(bootstrap_draws=100)) == protocol_of(config())
