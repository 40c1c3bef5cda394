"""Ray as an engine: whole shards as tasks of one core each, or in actors, which load a network's weights once.

Nothing is sent to a cluster but the task, with the profile in it: its machines have the code, the root and the secrets
of their own (docs/engines.md).
"""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import Any, TypeVar

import cv2

from decoupage.faults import BadSetup
from decoupage.requirements import install_line
from pipelines.stages.answers import Answer, WorkerLost, answer
from pipelines.stages.ray_address import LOCAL, chosen_address, probe
from pipelines.stages.ray_cluster import Node, ask, connect, last_line, nodes_of

Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger(__name__)
MAX_TRIES = 3
"""An item whose worker ended so often ends the run: it is likely to end every worker."""
_LOOK_EVERY_S = 10.0
_TELL_EVERY_S = 60.0
_STOP_WITHIN_S = 5.0


class RayEngine:
    """A Ray cluster. It is connected to when the first work comes, and left when this process ends.

    Args:
        workers: shards, or items, at once; 0 = as many as the cluster has cores.
        address: of the cluster; empty = `RAY_ADDRESS`, else a Ray of this machine's own.
        gpus_per_actor: GPUs of an actor that keeps a network's weights.

    Raises:
        BadSetup: Ray is not installed, or nothing answers at the address.
    """

    def __init__(self, workers: int, address: str = "", gpus_per_actor: float = 0.0) -> None:
        if find_spec("ray") is None:
            raise BadSetup(f'engine.kind = "ray" needs Ray; {install_line("ray")}')
        self.workers = workers
        self.address = chosen_address(address)
        self.gpus_per_actor = gpus_per_actor
        probe(self.address)

    def shard_workers(self, num_shards: int, keeps_weights: bool) -> "RayWorkers":
        """See `Engine.shard_workers`: always, and weights are kept by actors."""
        return RayWorkers(self, keeps_weights, num_shards)

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """See `Engine.map`."""
        return _Mapping(RayWorkers(self, keeps_weights=False), task, in_order=True).results(items)

    def connect(self) -> list[Node]:
        """The machines of the cluster that can work; the first call connects.

        Raises:
            BadSetup: the cluster runs another Ray or Python, does not let us in, or cannot be joined from here.
        """
        return connect(self.address, self.workers)


@dataclass(frozen=True)
class RayWorkers:
    """See `ShardWorkers`.

    Attributes:
        engine: whose cluster does the work.
        keeps_weights: whether actors do it, each with the weights of a network.
        most: no more work than this comes at once.
    """

    engine: RayEngine
    keeps_weights: bool
    most: int = 1 << 30

    @property
    def num_gpus(self) -> float:
        """GPUs that each worker asks for."""
        return self.engine.gpus_per_actor if self.keeps_weights else 0.0

    def room(self, nodes: Iterable[Node]) -> int:
        """Workers that machines have cores and GPUs for."""
        share = self.num_gpus
        return sum(min(node.num_cpus, int(node.num_gpus / share + 1e-9)) if share else node.num_cpus for node in nodes)

    def num_at_once(self, nodes: Iterable[Node]) -> int:
        """Workers at once."""
        room = self.room(nodes)
        return min(self.most, self.engine.workers or room, room)

    def check(self, look: Callable[[], str]) -> None:
        """See `ShardWorkers.check`."""
        nodes = self.engine.connect()
        num_cpus = sum(node.num_cpus for node in nodes)
        where = "this machine" if self.engine.address == LOCAL else f"the Ray cluster at {self.engine.address}"
        if not num_cpus:
            raise BadSetup(f"{where} has no core to work on: add a machine, or start Ray there with --num-cpus")
        if self.engine.workers > num_cpus:
            raise BadSetup(
                f"engine.workers is {self.engine.workers}, and {where} has {num_cpus} cores: lower it, set it to 0 for "
                "as many as there are, or add machines"
            )
        if not self.room(nodes):
            raise BadSetup(
                f"{where} has no machine with {self.num_gpus:g} GPUs (engine.gpus_per_actor) for a network's weights: "
                "add one, start Ray there with --num-gpus, or set engine.gpus_per_actor = 0 to compute on cores"
            )
        wrong = {node.name: said for node, said in ask(nodes, look) if said}
        if wrong:
            name, said = next(iter(wrong.items()))
            others = f" (and {len(wrong) - 1} more of {len(nodes)} machines)" if len(wrong) > 1 else ""
            raise BadSetup(f"Ray's machine {name}{others}: {said}")

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """See `ShardWorkers.map`."""
        return _Mapping(self, task, in_order=False).results(items)


@dataclass
class _Sent:
    """An item in flight: its place among the items, how often it was sent, and the actor that has it."""

    item: Any
    place: int
    tries: int
    keeper: Any = None


class _Mapping:
    """One map over items."""

    def __init__(self, workers: RayWorkers, task: Callable[[Any], Any], in_order: bool) -> None:
        self._workers, self._in_order = workers, in_order
        self._nodes = workers.engine.connect()
        self._looked_s = time.monotonic()
        import ray

        self._ray = ray
        # In a list a reference is passed on as it is: the worker fetches the task once, and keeps it.
        self._boxed = [ray.put(task)]
        self._pending: dict[Any, _Sent] = {}
        self._keepers: list[Any] = []
        self._ready: dict[int, Any] = {}

    def results(self, items: Iterable[Item]) -> Generator[Any]:
        """Results; ended before its end, it stops what is in flight."""
        source, next_place = enumerate(items), 0
        try:
            while True:
                room = self._most_in_flight() - len(self._pending) - len(self._ready)
                for place, item in islice(source, max(room, 0)):
                    self._send(_Sent(item, place, 1))
                if not self._pending:
                    return
                for place, result in self._finished():
                    if self._in_order:
                        self._ready[place] = result
                    else:
                        yield result
                while next_place in self._ready:
                    yield self._ready.pop(next_place)
                    next_place += 1
        finally:
            self._stop()

    def _most_in_flight(self) -> int:
        """Where the number of workers is given, so many; else some more, so that no core waits for the next item."""
        if time.monotonic() - self._looked_s > _LOOK_EVERY_S:
            self._nodes, self._looked_s = nodes_of(), time.monotonic()
        num_workers = max(1, self._workers.num_at_once(self._nodes))
        given = self._workers.engine.workers and not self._workers.keeps_weights
        return num_workers if given else 2 * num_workers

    def _send(self, sent: _Sent) -> None:
        if self._workers.keeps_weights:
            sent.keeper = self._keeper()
            reference = sent.keeper.work.remote(self._boxed, sent.item)
        else:
            reference = _remote_work().remote(self._boxed, sent.item)
        self._pending[reference] = sent

    def _keeper(self) -> Any:
        """The actor with the least to do; a new one while there is room."""
        if len(self._keepers) < max(1, self._workers.num_at_once(self._nodes)):
            keeper = self._ray.remote(_Keeper).options(num_cpus=1, num_gpus=self._workers.num_gpus).remote()
            self._keepers.append(keeper)
            return keeper
        given = [sent.keeper for sent in self._pending.values()]
        return min(self._keepers, key=lambda keeper: sum(one is keeper for one in given))

    def _finished(self) -> Iterator[tuple[int, Any]]:
        """(place, result) of what has been finished; what was lost is sent again."""
        done, _ = self._ray.wait(list(self._pending), timeout=_TELL_EVERY_S)
        if not done and not self._workers.room(nodes_of()):
            log.warning("the Ray cluster has no machine left that can work; waiting for one")
        for reference in done:
            sent = self._pending.pop(reference)
            found = self._answer(reference, sent)
            if found is not None:
                yield sent.place, found.taken()

    def _answer(self, reference: Any, sent: _Sent) -> Answer | None:
        errors = self._ray.exceptions
        lost: tuple[type[Exception], ...] = (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError)
        lost += (errors.NodeDiedError, errors.LocalRayletDiedError, errors.ObjectLostError, errors.OwnerDiedError)
        try:
            found: Answer = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise BadSetup(f"a worker of Ray could not begin {sent.item!s:.80}: {last_line(error)}") from error
        except lost as error:
            why = last_line(error)
            if sent.keeper in self._keepers:
                self._keepers.remove(sent.keeper)
            if sent.tries >= MAX_TRIES:
                raise WorkerLost(
                    f"{sent.item!s:.80}: its worker ended {sent.tries} times ({why}); it was killed, perhaps because "
                    "memory ran out (lower engine.workers), or its machine left; run the same command again to continue"
                ) from error
            log.warning("%.80s: its worker ended (%s), another one makes it", sent.item, why)
            self._nodes = nodes_of()
            self._send(_Sent(sent.item, sent.place, sent.tries + 1))
            return None
        return found

    def _stop(self) -> None:
        """Interrupt what is in flight, so that it can clean up, and end what does not stop soon."""
        ray, left = self._ray, list(self._pending)
        with suppress(ray.exceptions.RayError):
            if not self._workers.keeps_weights:
                for reference in left:
                    ray.cancel(reference)
                if left:
                    _, left = ray.wait(left, num_returns=len(left), timeout=_STOP_WITHIN_S)
                for reference in left:
                    ray.cancel(reference, force=True)
                if left:
                    ray.wait(left, num_returns=len(left), timeout=_STOP_WITHIN_S)
            for keeper in self._keepers:
                ray.kill(keeper)
        self._pending.clear()


_kept: tuple[Any, Callable[[Any], Any]] | None = None
"""The task that this worker had last, with its reference."""


def _work(boxed: list[Any], item: Any) -> Answer:
    global _kept
    if _kept is None or _kept[0] != boxed[0]:
        import ray

        # Workers work side by side; threads inside OpenCV would only compete for the same cores.
        cv2.setNumThreads(0)
        _kept = (boxed[0], ray.get(boxed[0]))
    return answer(_kept[1], item)


class _Keeper:
    """Works in one process, which keeps the weights that its task loads."""

    def work(self, boxed: list[Any], item: Any) -> Answer:
        return _work(boxed, item)


def _remote_work() -> Any:
    import ray

    # What is lost is sent again by us, who count it.
    return ray.remote(_work).options(num_cpus=1, max_retries=0)
