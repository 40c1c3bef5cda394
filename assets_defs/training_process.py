"""The process that trains: `python -m assets_defs.training_process PLAN.json [--ray NUM_PROCESSES]`.

Carries out a `RunPlan` and reports to Dagster through Pipes; started by hand it does the same, and reports to the
terminal. One message says how it ended: `{"facts": ...}`, or `{"fault": "a sentence"}`. Imports dagster_pipes, never
dagster.

Exit status: 0 = done; 1 = the run diverged; 2 = wrong set-up; 130 = asked to stop, with a checkpoint.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes

from decoupage.faults import BadSetup
from pipelines.stages.local_files import FULL
from training.alone import alone_in
from training.facts import Facts, facts_of
from training.launcher import read_plan
from training.run import RunPlan, train_current

DONE, DIVERGED, WRONG_SETUP, INTERRUPTED = 0, 1, 2, 130
SHOWN_LOGGERS = ("training", "pipelines", "decoupage", "evaluation")
_FORMAT = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")


class PipesHandler(logging.Handler):
    """Log handler that sends lines to the run in Dagster, where they show while training goes on."""

    def __init__(self, pipes: PipesContext) -> None:
        super().__init__(logging.INFO)
        self._pipes = pipes

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        self._pipes.log.log(record.levelno, self.format(record))


def main(arguments: list[str] | None = None) -> int:
    """Train, and report how it ended; returns the exit status."""
    parser = argparse.ArgumentParser(description="Carries out the plan of a training run.")
    parser.add_argument("plan", help="JSON file, as training.launcher.write_plan writes it, or its address")
    parser.add_argument("--ray", type=int, default=0, metavar="NUM_PROCESSES", help="train on a Ray cluster")
    given = parser.parse_args(arguments)
    if os.environ.get("RANK", "0") != "0":  # Of several processes, only the first one reports.
        return _train(given.plan, given.ray, lambda message: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Started by hand, Pipes warns that no one listens.
        opened = open_dagster_pipes()
    with opened as pipes:
        _forward_logs(pipes)
        if isinstance(pipes, PipesContext):
            threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
        return _train(given.plan, given.ray, lambda message: _report(pipes, message))


def _train(path: str, ray_processes: int, report: Callable[[dict[str, Any]], None]) -> int:
    from training.step import Diverged

    try:
        plan = read_plan(path)
        with alone_in(plan.home.path if plan.home else plan.out, plan.home):
            facts = _facts(plan, ray_processes)
    except (BadSetup, ValueError) as fault:
        if isinstance(fault, ValueError):  # It may come out of a library; then the stack is needed.
            logging.getLogger("training").exception("%s", fault)
        report({"fault": str(fault)})
        return WRONG_SETUP
    except OSError as fault:
        if fault.errno not in FULL:
            raise
        what = f"{fault.strerror} while writing {fault.filename or 'what a run writes beside its checkpoints'}"
        report({"fault": f"{what}; free space and run again: it continues from its newest checkpoint"})
        return WRONG_SETUP
    except Diverged as fault:
        report({"fault": str(fault)})
        return DIVERGED
    except KeyboardInterrupt:
        report({"fault": "asked to stop before the first step; nothing was lost"})
        return INTERRUPTED
    report({"facts": facts})
    return INTERRUPTED if facts["status"] == "interrupted" else DONE


def _facts(plan: RunPlan, ray_processes: int) -> Facts:
    if not ray_processes:
        return facts_of(plan, train_current(plan))
    from training.on_ray import train_on_ray

    return train_on_ray(plan, ray_processes)


def _report(pipes: PipesContext, message: dict[str, Any]) -> None:
    """Send the one message; the process that started this one materializes the asset."""
    pipes.report_custom_message(message)
    if "fault" in message:
        logging.getLogger("training").error("%s", message["fault"])


def _forward_logs(pipes: PipesContext) -> None:
    """Send our own log lines to the terminal and to Dagster; warnings of other libraries stay where they are."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(_FORMAT)
    for name in SHOWN_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(terminal)
        logger.addHandler(PipesHandler(pipes))
        logger.propagate = False


def _leave_with(parent: int) -> None:
    """Ask this process to save and stop once the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
