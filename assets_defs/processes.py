"""Starts a training process here, through Ray or in a pod, waits for it, and returns the facts that it reported.

When a run is cancelled, the process is asked to save a checkpoint and stop, and nothing is materialized.
"""

import os
import signal
import subprocess
import warnings
from collections.abc import Sequence
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg

from decoupage.faults import BadSetup
from decoupage.requirements import install_line
from training.facts import Facts
from training.launcher import command, environment
from training.profile import TrainingSection

MODULE = "assets_defs.training_process"
LEAVE_S = 60
"""Seconds that a cancelled process has to save and stop; then it is killed."""


# Dagster warns once a session about a part of Pipes that is not used here.
warnings.filterwarnings("ignore", message="Function `PipesMessageReader", category=dg.PreviewWarning)


def run_process(context: dg.AssetExecutionContext, section: TrainingSection, plan: str, ray_address: str = "") -> Facts:
    """Carry out a plan in a process, started as the profile's training section says; returns its facts.

    Args:
        plan: path or address of the plan.
        ray_address: of the cluster that the profile's engine uses; empty = as `RAY_ADDRESS` says.

    Raises:
        dg.Failure: it could not start, did not end well, or was asked to stop; the message says which.
        BadSetup: the launcher's package is not installed.
    """
    status = 0
    if section.launcher == "k8s":
        done = _in_pod(context, section, plan)
        messages = done.get_custom_messages()
    else:
        status, session = _on_this_machine(context, section, plan, ray_address)
        messages = session.get_custom_messages()
    reported: dict[str, Any] = messages[-1] if messages else {}
    if "fault" in reported:
        raise dg.Failure(reported["fault"], allow_retries=False)
    facts: Facts | None = reported.get("facts")
    if facts is None:
        raise dg.Failure(f"the training process ended with status {status} and reported no reason; see its output")
    if facts["status"] == "interrupted":
        raise dg.Failure(
            f"asked to stop after step {facts['step']}; {facts['checkpoint']} is saved, and the next materialization "
            "continues from there by itself",
            allow_retries=False,
        )
    return facts


def _on_this_machine(
    context: dg.AssetExecutionContext, section: TrainingSection, plan: str, ray_address: str
) -> tuple[int, dg.PipesSession]:
    """Run the process in a session of its own; returns its exit status and the Pipes session.

    Dagster's own client would leave the process in the terminal's foreground group: Ctrl-C would reach it twice, from
    the terminal and from here, and the second one stops it without saving. Nor would it kill a process that hangs.
    """
    on_ray = section.launcher == "ray"
    arguments = [plan, *(["--ray", str(section.num_processes)] if on_ray else [])]
    line = command(MODULE, arguments, 1 if on_ray else section.num_processes, section.device)
    context.log.info("starting %s", " ".join(line))
    with dg.open_pipes_session(context, dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader()) as session:
        variables = {**os.environ, **environment(section.device), **session.get_bootstrap_env_vars()}
        variables |= {"RAY_ADDRESS": ray_address} if ray_address else {}
        process = subprocess.Popen(line, env=variables, start_new_session=True)
        try:
            status = process.wait()
        except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
            context.log.warning("cancelled: the training process saves a checkpoint and stops")
            _end(process)
            raise
    return status, session


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to stop, wait, then kill it with all that it started."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _in_pod(
    context: dg.AssetExecutionContext, section: TrainingSection, plan: str
) -> dg.PipesClientCompletedInvocation:
    """Run the process in a pod, as `training.pod_spec` describes it; a root that is a folder must be mounted there."""
    if find_spec("dagster_k8s") is None:
        raise BadSetup(f"training.launcher = k8s needs dagster-k8s, which is not installed; {install_line('k8s')}")
    from dagster_k8s import PipesK8sClient

    line: Sequence[str] = command(MODULE, [plan], section.num_processes, section.device, python="python")
    spec = pod_spec(Path(section.pod_spec), line)
    invocation: dg.PipesClientCompletedInvocation = PipesK8sClient().run(
        context=context, command=line, env=environment(section.device), base_pod_spec=spec
    )
    return invocation


def pod_spec(path: Path, line: Sequence[str]) -> dict[str, Any]:
    """The specification of a pod in a YAML file, in which a command can be run.

    Raises:
        BadSetup: the file cannot be read, or it is not what Kubernetes' API takes; the message names the field.
    """
    import yaml
    from dagster_k8s.pipes import build_pod_body

    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadSetup(f"training.pod_spec: {path} cannot be read ({error})") from error
    if not isinstance(spec, dict):
        raise BadSetup(f"training.pod_spec: {path} must hold the fields of a pod's spec, such as containers")
    try:
        build_pod_body("training", None, line, {}, None, deepcopy(spec))
    except Exception as error:  # dagster_k8s raises no other for unknown fields.
        raise BadSetup(
            f"training.pod_spec: {path} describes no pod ({error}); mend it and materialize again"
        ) from error
    return spec
