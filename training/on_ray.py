"""A run on the workers of a Ray cluster, by Ray Train: what they need is checked first; the result is one process's.

The process that starts it stays: it shows what the first worker logs, passes on that the run is to stop, and starts
all workers again when one of them is lost. Then they continue from the newest checkpoint, which every machine must
reach: in an object store, or in a folder that all share. Ray's own retries are not used, because they would repeat a
wrong set-up as well. Ray joins the processes, and accelerate finds them by the environment that it sets.
"""

import hashlib
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from decoupage.cache import cache_folder
from decoupage.faults import BadSetup
from decoupage.requirements import install_line
from pipelines.stages.code import code_version
from pipelines.stages.ray_address import chosen_address, probe
from pipelines.stages.ray_cluster import Node, ask, connect, last_line
from pipelines.stages.store import Store
from training.launcher import PLAN
from training.requests import Requests, ask_to_stop
from training.run import RunPlan

_log = logging.getLogger(__name__)
MAX_TRIES = 4
"""A run whose workers were lost so often is given up; its checkpoints stay."""
_LOOK_EVERY_S = 1.0
_SHOWN = ("training", "pipelines", "decoupage")
"""Loggers whose lines go from the first worker to the process that started the run."""


class _Link:
    """An actor between the workers and the process that started them."""

    def __init__(self) -> None:
        self._stop = False
        self._lines: list[tuple[str, int, str]] = []
        self._faults: list[Exception] = []

    def stop(self) -> None:
        self._stop = True

    def is_stopping(self) -> bool:
        return self._stop

    def tell(self, name: str, level: int, line: str) -> None:
        self._lines.append((name, level, line))

    def told(self) -> list[tuple[str, int, str]]:
        lines, self._lines = self._lines, []
        return lines

    def note(self, fault: Exception) -> None:
        self._faults.append(fault)

    def faults(self) -> list[Exception]:
        return self._faults


def train_on_ray(plan: RunPlan, num_processes: int) -> dict[str, Any]:
    """Run `train_current` on workers of the cluster that `RAY_ADDRESS` names, or of a Ray of this machine's own.

    Folders of the plan that are not in an object store must be the same on all machines. SIGINT and SIGTERM make the
    run save a checkpoint and stop.

    Returns:
        The facts of the run (`training.facts`), as the first worker has them.

    Raises:
        BadSetup: Ray is not installed, no cluster answers, it lacks processors or other code is on it; what a worker
            finds wrong; or workers were lost too often.
        Diverged, ValueError: as `train_current`, in a worker.
    """
    if find_spec("ray") is None:
        raise BadSetup(f"training.launcher = ray needs Ray Train, which is not installed; {install_line('ray')}")
    address = chosen_address("")
    probe(address)
    with Requests() as requests:
        run = _Run(
            _absolute(plan), num_processes, _checked(plan, connect(address, num_processes), num_processes), requests
        )
        for tries in range(1, MAX_TRIES + 1):
            try:
                return run.carried_out()
            except _Lost as lost:
                if tries == MAX_TRIES or requests.stop_asked:
                    raise BadSetup(
                        f"workers of the run were lost {tries} times, the last time by this: {lost}; materialize again "
                        "to continue from the newest checkpoint"
                    ) from lost
                _log.warning("a worker was lost (%s): all start again from the newest checkpoint", lost)
    raise AssertionError("the last try returns or raises")


class _Lost(Exception):
    """Workers ended without a fault of the run's own."""


def _absolute(plan: RunPlan) -> RunPlan:
    """The plan for workers, whose current folder is another one."""

    def absolute(path: str) -> str:
        return str(Path(path).absolute()) if Path(path).exists() else path

    vae = plan.rgba_vae and absolute(plan.rgba_vae)
    data = tuple(Store(path).url("") for path in plan.data)
    return replace(plan, out=plan.out.absolute(), data=data, base=plan.base and absolute(plan.base), rgba_vae=vae)


def _checked(plan: RunPlan, nodes: Sequence[Node], num_processes: int) -> bool:
    """Whether the workers get a GPU each.

    Raises:
        BadSetup: the cluster has too few GPUs or cores, or a machine has other code.
    """
    num_cpus, num_gpus = sum(node.num_cpus for node in nodes), int(sum(node.num_gpus for node in nodes))
    if plan.device == "cuda" and num_gpus < num_processes:
        raise BadSetup(
            f"training.device = cuda asks for {num_processes} GPUs (training.num_processes), and the Ray cluster has "
            f"{num_gpus}: start Ray on machines with GPUs (`ray start --num-gpus`), lower the number, or set "
            "training.device = cpu"
        )
    if num_cpus < num_processes:
        raise BadSetup(
            f"training.num_processes = {num_processes} asks for as many cores, and the Ray cluster has {num_cpus}: "
            "lower it, or add machines"
        )
    for node, said in ask(nodes, partial(_fault_of_code, _code())):
        if said:
            raise BadSetup(f"Ray's machine {node.name}: {said}")
    return plan.device != "cpu" and num_gpus >= num_processes


def _code() -> str:
    """A hash of the code that trains, and of the packages under it."""
    import training

    sha = hashlib.sha256(f"{code_version()} {version('accelerate')} {version('peft')}".encode())
    root = Path(training.__path__[0])
    for file in sorted(root.rglob("*.py")):
        sha.update(f"\0{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return sha.hexdigest()[:16]


def _fault_of_code(wanted: str) -> str:
    found = _code()
    return (
        ""
        if found == wanted
        else (
            f"it has code {found}, the process that starts the run has {wanted}: install the same commit and the same "
            "constraints.txt on all machines, and restart Ray there"
        )
    )


@dataclass(frozen=True)
class _Run:
    """A run, and how its workers are started."""

    plan: RunPlan
    num_processes: int
    use_gpu: bool
    requests: Requests

    def carried_out(self) -> dict[str, Any]:
        """The facts of the run. Raises _Lost, or the fault that a worker has found."""
        import ray
        from ray.exceptions import RayError
        from ray.train import TrainingFailedError

        link = ray.remote(_Link).options(num_cpus=0).remote()
        with ThreadPoolExecutor(1) as pool:  # Ray Train would end the workers at the first SIGINT of the main thread.
            result = pool.submit(self._fit, link)
            try:
                while wait([result], _LOOK_EVERY_S).not_done:
                    self._pass_on(link)
            except KeyboardInterrupt:  # The second one.
                ray.shutdown()
                raise
        self._pass_on(link)
        faults: list[Exception] = ray.get(link.faults.remote())
        ray.kill(link)
        if faults:
            raise faults[0]
        try:
            return result.result()
        except (TrainingFailedError, RayError) as error:
            raise _Lost(last_line(error)) from error

    def _pass_on(self, link: Any) -> None:
        """The request to stop to the workers, and their log lines from them."""
        import ray

        if self.requests.stop_asked:
            link.stop.remote()
        for name, level, line in ray.get(link.told.remote()):
            logging.getLogger(name).log(level, "%s", line)

    def _fit(self, link: Any) -> dict[str, Any]:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from training.loop import TIMEOUT

        # Ray writes down there what it knows of the run, which is nothing: it sees no checkpoint.
        scratch = cache_folder() / "ray" / uuid.uuid4().hex
        os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
        workers = {"CPU": 1.0, **({"GPU": 1.0} if self.use_gpu else {})}
        scaling = ScalingConfig(num_workers=self.num_processes, use_gpu=self.use_gpu, resources_per_worker=workers)
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"plan": PLAN.dump_python(self.plan, mode="json"), "link": link, "use_gpu": self.use_gpu},
            torch_config=TorchConfig(timeout_s=int(TIMEOUT.total_seconds())),
            scaling_config=scaling,
            run_config=RunConfig(name="run", storage_path=str(scratch)),
        )
        try:
            return dict(trainer.fit().return_value)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _worker(values: dict[str, Any]) -> dict[str, Any]:
    """What each worker runs: accelerate finds the processes that Ray has joined."""
    from training.facts import facts_of
    from training.run import train_current
    from training.step import Diverged

    link, plan = values["link"], PLAN.validate_python(values["plan"])
    plan = replace(plan, device="auto" if values["use_gpu"] else "cpu")
    threading.Thread(target=_pass_on, args=(link,), daemon=True).start()
    if os.environ["RANK"] == "0":
        _tell_of(link)
    try:
        return facts_of(plan, train_current(plan))
    except (BadSetup, ValueError, Diverged) as fault:
        import ray

        ray.get(link.note.remote(fault))
        raise


def _pass_on(link: Any) -> None:
    """Ask this worker's run to stop when the process that started it is asked to."""
    import ray

    while not ray.get(link.is_stopping.remote()):
        time.sleep(_LOOK_EVERY_S)
    ask_to_stop()


def _tell_of(link: Any) -> None:
    """Send our own log lines to the process that started the run."""
    for name in _SHOWN:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(_LinkHandler(link))


class _LinkHandler(logging.Handler):
    def __init__(self, link: Any) -> None:
        super().__init__(logging.INFO)
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        self._link.tell.remote(record.name, record.levelno, record.getMessage())
