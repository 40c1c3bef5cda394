"""Starts a training process, waits for it, and hands back what it said: on this machine, through Ray, or in a pod.

A run that is cancelled passes the wish on: the process saves a checkpoint and leaves, and nothing is materialized.
"""

import os
import signal
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg

from decoupage.faults import BadSetup
from training.launcher import command, environment
from training.profile import TrainingSection

MODULE = "assets_defs.training_process"
LEAVE_S = 60
"""A cancelled process has so many seconds to save and leave; then it is killed."""


# Said once for every session, of a part of Pipes that is not used here.
warnings.filterwarnings("ignore", message="Function `PipesMessageReader", category=dg.PreviewWarning)


@dataclass(frozen=True)
class Answer:
    """What a training process said: its facts (`training.facts`), and the materialization that it reported."""

    facts: Mapping[str, Any]
    result: dg.MaterializeResult


def run_process(context: dg.AssetExecutionContext, section: TrainingSection, plan: Path) -> Answer:
    """Carry out a plan as the profile says.

    Raises:
        dg.Failure: it could not start, did not end well, or was asked to leave; the message says which.
        BadSetup: the launcher's package is not installed.
    """
    status = 0
    if section.launcher == "k8s":
        done = _in_pod(context, section, plan)
        messages, results = done.get_custom_messages(), done.get_results(implicit_materializations=False)
    else:
        status, session = _on_this_machine(context, section, plan)
        messages, results = session.get_custom_messages(), session.get_results(implicit_materializations=False)
    said: dict[str, Any] = messages[-1] if messages else {}
    if "fault" in said:
        raise dg.Failure(said["fault"], allow_retries=False)
    facts = said.get("facts")
    if facts is None:
        raise dg.Failure(f"the training process ended with status {status} and did not say why; its output may")
    if facts["status"] == "interrupted":
        raise dg.Failure(
            f"asked to leave after step {facts['step']}; {facts['checkpoint']} is saved, and the next materialization "
            "goes on from there by itself",
            allow_retries=False,
        )
    for result in results:
        if isinstance(result, dg.MaterializeResult):
            return Answer(facts, result)
    raise dg.Failure(f"the training process ended with status {status}, and reported nothing that it made")


def _on_this_machine(
    context: dg.AssetExecutionContext, section: TrainingSection, plan: Path
) -> tuple[int, dg.PipesSession]:
    """(exit status, session) of a process in a session of its own.

    Dagster's own client would leave the process in the terminal's foreground group: Ctrl-C would reach it twice, from
    the terminal and from here, and the second one means to leave without saving. Nor would it kill one that hangs.
    """
    on_ray = section.launcher == "ray"
    arguments = [str(plan), *(["--ray", str(section.num_processes)] if on_ray else [])]
    line = command(MODULE, arguments, 1 if on_ray else section.num_processes, section.device)
    context.log.info("starting %s", " ".join(line))
    with dg.open_pipes_session(context, dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader()) as session:
        variables = {**os.environ, **environment(section.device), **session.get_bootstrap_env_vars()}
        process = subprocess.Popen(line, env=variables, start_new_session=True)
        try:
            status = process.wait()
        except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
            context.log.warning("cancelled: the training process saves a checkpoint and leaves")
            _end(process)
            raise
    return status, session


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask once, wait, then kill the process with all that it started."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _in_pod(
    context: dg.AssetExecutionContext, section: TrainingSection, plan: Path
) -> dg.PipesClientCompletedInvocation:
    """A pod of its own, as `training.pod_spec` describes it; the plan's folder must be mounted there at this path."""
    if find_spec("dagster_k8s") is None:
        raise BadSetup("training.launcher = k8s needs dagster-k8s: install the extra `k8s` (pip install -e '.[k8s]')")
    import yaml
    from dagster_k8s import PipesK8sClient

    line: Sequence[str] = command(MODULE, [str(plan)], section.num_processes, section.device, python="python")
    invocation: dg.PipesClientCompletedInvocation = PipesK8sClient().run(
        context=context,
        command=line,
        env=environment(section.device),
        base_pod_spec=yaml.safe_load(Path(section.pod_spec).read_text(encoding="utf-8")),
    )
    return invocation
