"""SIGKILL of an evaluation at a random image: the next one asks only what is missing, and finds the same scores."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCORED = ("scores.csv", "list.json", "report.json", "gallery.json", "answer.png")
NUM_SCENES = 6


def program(root: Path, facts: dict) -> None:
    """Evaluates two slow methods on made-up cases; notes each question in `<root>/asked`."""
    from evaluation.config import EvaluationConfig
    from evaluation.method import Layers, MethodRecipe
    from evaluation.run import evaluate
    from tests.evaluation.methods.made_up import Listed
    from tests.evaluation.scenes import Known, cases

    def noted(name, change):
        def layers(case):
            with (root / "asked").open("a") as log:
                log.write(f"{name} {case.name}\n")
            if (root / "die_at").exists() and len(asked(root)) == int((root / "die_at").read_text()):
                os.kill(os.getpid(), signal.SIGKILL)
            return Layers(case.background ^ change, case.foreground)

        return Known(name, layers)

    methods = {name: noted(name, change) for name, change in (("base", 32), ("adapter", 8))}
    recipes = [
        MethodRecipe(name, method.gives, lambda method=method: method, facts.get(name, {"weights": name}))
        for name, method in methods.items()
    ]
    config = EvaluationConfig(bootstrap_draws=100)
    evaluate(Listed(cases(NUM_SCENES, 32)), recipes, config, str(root / "report"), root=str(root))


def asked(root: Path) -> list[str]:
    return (root / "asked").read_text().splitlines()


def evaluate_in_a_process(root: Path, die_at: int | None = None, **facts) -> tuple[int, list[str]]:
    """(exit status, what the methods were asked)."""
    root.mkdir(exist_ok=True)
    for name in ("asked", "die_at"):
        (root / name).unlink(missing_ok=True)
    (root / "asked").touch()
    if die_at is not None:
        (root / "die_at").write_text(str(die_at))
    code = f"from {__name__} import program; import pathlib; program(pathlib.Path({str(root)!r}), {facts!r})"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, asked(root)


def files(root: Path) -> dict[str, bytes]:
    return {name: (root / "report" / name).read_bytes() for name in SCORED}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("undisturbed")
    status, questions = evaluate_in_a_process(root)
    assert status == 0 and len(questions) == len(set(questions)) and len(questions) > 20
    return root, questions


def test_a_kill_costs_the_image_it_came_at(undisturbed, tmp_path):
    first, questions = undisturbed
    root, rng, seen = tmp_path / "root", random.Random(os.urandom(8)), 0
    while True:
        die_at = rng.randint(3, 12)
        status, now = evaluate_in_a_process(root, die_at)
        # What was answered before is not asked again; the image that the kill came at is.
        assert now == questions[seen : seen + len(now)], die_at
        if status == 0:
            break
        assert not (root / "report").exists() and len(now) == die_at
        seen += die_at - 1
    assert files(root) == files(first)
    assert evaluate_in_a_process(root)[1] == []
    assert files(root) == files(first)


def test_other_weights_are_asked_anew_and_the_others_are_not(undisturbed, tmp_path):
    first, questions = undisturbed
    root = Path(shutil.copytree(first, tmp_path / "root"))
    status, now = evaluate_in_a_process(root, adapter={"weights": "new"})
    assert status == 0 and now == [question for question in questions if question.startswith("adapter ")]


def test_a_damaged_picture_is_asked_anew_and_not_scored(undisturbed, tmp_path):
    first, _ = undisturbed
    root = Path(shutil.copytree(first, tmp_path / "root"))
    pictures = sorted((root / "records" / "made_up" / "adapter").glob("*.background.png"))
    pictures[1].write_bytes(pictures[0].read_bytes())
    pictures[2].write_bytes(pictures[2].read_bytes()[:100])
    status, now = evaluate_in_a_process(root)
    assert status == 0 and now == [f"adapter {path.name.partition('.')[0]}" for path in pictures[1:3]]
    assert files(root) == files(first)
    assert json.loads((root / "report" / "report.json").read_text())["methods"]["adapter"]["failures"] == 0
