"""A cluster that makes shards, as a discrete-event simulation: what `simulate_cluster.py` asks, and what it is told.

Each worker takes a shard, reads its inputs, computes, writes, and takes the next one; the stages of a run follow one
another, as `scenes make` has them. A transfer runs at the speed that its node and the store have free when it begins.
A shard whose node is lost waits until its lease has run out, and is made again by whoever is free.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial

import numpy as np


@dataclass(frozen=True)
class Load:
    """One stage of a run.

    Attributes:
        name: of the stage.
        num_shards: to make.
        seconds: measured times of single shards on one worker; the shards' times are these, in any order.
        read_mb, write_mb: of one shard, from and to the store.
        reads, writes: requests of one shard.
    """

    name: str
    num_shards: int
    seconds: tuple[float, ...]
    read_mb: float = 0.0
    write_mb: float = 0.0
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True)
class Cluster:
    """What does the work.

    Attributes:
        nodes, workers: number of machines, and of workers on each.
        node_mb_per_s, store_mb_per_s: bandwidth of a machine, and of the store for all together.
        latency_s: of one request.
        start_s: before a node's workers take their first shard: processes, imports.
        stage_s: of the one process that runs a stage, before its first and after its last shard.
        driver_s: of that process for each shard, one after another.
        straggler_share, straggler_factor: of the shards so many take so many times as long.
        hours_between_failures: of one machine, on average; 0 = none fails.
        recover_s: until a machine that failed is there again.
        lease_s: until a shard that a lost worker had in hand may be taken by another.
    """

    nodes: int = 1
    workers: int = 1
    node_mb_per_s: float = 1000.0
    store_mb_per_s: float = 10_000.0
    latency_s: float = 0.03
    start_s: float = 10.0
    stage_s: float = 1.0
    driver_s: float = 0.005
    straggler_share: float = 0.0
    straggler_factor: float = 4.0
    hours_between_failures: float = 0.0
    recover_s: float = 300.0
    lease_s: float = 60.0

    def __post_init__(self) -> None:
        """Raise ValueError for what no cluster is."""
        for name in ("nodes", "workers", "node_mb_per_s", "store_mb_per_s", "straggler_factor"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in (one.name for one in fields(self)):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.straggler_share > 1:
            raise ValueError(f"straggler_share must be in [0, 1], got {self.straggler_share}")


@dataclass
class Outcome:
    """What a run took.

    Attributes:
        makespan_s: from the start to the end of the last stage.
        stage_s: makespan of each stage.
        busy_s: seconds of computing that ended in a shard, of all workers together.
        lost_s: seconds of work that ended with its node.
        utilisation: `busy_s` / all workers' share of the makespan.
        shards, retries, failures: shards made, shards made again, machines lost.
        requests, read_mb, written_mb: what the store saw, lost work included.
    """

    makespan_s: float = 0.0
    stage_s: dict[str, float] = field(default_factory=dict)
    busy_s: float = 0.0
    lost_s: float = 0.0
    utilisation: float = 0.0
    shards: int = 0
    retries: int = 0
    failures: int = 0
    requests: int = 0
    read_mb: float = 0.0
    written_mb: float = 0.0


def simulate(loads: Sequence[Load], cluster: Cluster, seed: int = 0) -> Outcome:
    """Run all stages, one after another; the same arguments give the same outcome.

    Raises:
        ValueError: a stage has no measured time.
        RuntimeError: machines fail so often that a shard is never finished.
    """
    run = _Run(cluster, np.random.default_rng(seed))
    for load in loads:
        if not load.seconds or min(load.seconds) < 0:
            raise ValueError(f"stage {load.name!r} needs measured seconds of at least one shard, none negative")
        run.stage(load)
    out = run.out
    out.makespan_s = run.now
    out.utilisation = out.busy_s / (run.now * cluster.nodes * cluster.workers) if run.now else 0.0
    return out


@dataclass
class _Work:
    """A shard in a worker's hand."""

    seconds: float
    taken_s: float


class _Run:
    """The clock, the workers and the store of one simulation."""

    _MOST_EVENTS_A_SHARD = 1000

    def __init__(self, cluster: Cluster, rng: np.random.Generator) -> None:
        self.out, self.now = Outcome(), 0.0
        self._cluster, self._rng = cluster, rng
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._num_events = 0
        # Lives of a node: what belongs to an earlier one has no effect any more.
        self._life = [0] * cluster.nodes
        self._up_at = [cluster.start_s] * cluster.nodes
        self._fails_at = [self._lifetime() for _ in range(cluster.nodes)]
        self._transfers = [0] * cluster.nodes
        self._driver_free_s = 0.0

    def stage(self, load: Load) -> None:
        """Make all shards of a stage."""
        began_s = self.now
        self.now += self._cluster.stage_s
        self._driver_free_s = self.now
        # Each measured time as often as the others, or once more; in any order.
        times, left = np.asarray(load.seconds, float), load.num_shards % len(load.seconds)
        more = self._rng.choice(times, left, replace=False)
        drawn = self._rng.permutation(np.concatenate([np.tile(times, load.num_shards // len(times)), more]))
        slow = self._rng.random(load.num_shards) < self._cluster.straggler_share
        self._waiting = deque(np.where(slow, drawn * self._cluster.straggler_factor, drawn).tolist())
        self._left, self._load = load.num_shards, load
        self._in_hand: list[dict[int, _Work]] = [{} for _ in self._life]
        self._events.clear()
        for node in range(self._cluster.nodes):
            self._at(max(self._up_at[node], self.now), partial(self._start, node, self._life[node]))
            self._at(max(self._fails_at[node], self.now), partial(self._fail, node, self._life[node]))
        most = self._num_events + self._MOST_EVENTS_A_SHARD * (load.num_shards + self._cluster.nodes)
        while self._left:
            if self._num_events > most:
                raise RuntimeError(f"stage {load.name!r} is never finished: machines fail faster than a shard is made")
            self.now, _, happens = heapq.heappop(self._events)
            happens()
        self.out.stage_s[load.name] = self.now - began_s

    def _at(self, time_s: float, happens: Callable[[], None]) -> None:
        if math.isfinite(time_s):
            self._num_events += 1
            heapq.heappush(self._events, (time_s, self._num_events, happens))

    def _lifetime(self) -> float:
        hours = self._cluster.hours_between_failures
        return float(self._rng.exponential(hours * 3600)) if hours else math.inf

    def _start(self, node: int, life: int) -> None:
        if life == self._life[node]:
            for worker in range(self._cluster.workers):
                self._take(node, worker)

    def _take(self, node: int, worker: int) -> None:
        """A free worker asks for a shard; the process that runs the stage answers one after another."""
        if not self._waiting or worker in self._in_hand[node]:
            return
        work = self._in_hand[node][worker] = _Work(self._waiting.popleft(), self.now)
        self._driver_free_s = max(self._driver_free_s, self.now) + self._cluster.driver_s
        load = self._load
        done = partial(self._compute, node, worker, work)
        read = partial(self._transfer, node, load.read_mb, load.reads, done)
        self._at(self._driver_free_s, self._while_up(node, read))

    def _compute(self, node: int, worker: int, work: _Work) -> None:
        self.out.read_mb += self._load.read_mb
        load, done = self._load, partial(self._finish, node, worker, work)
        write = partial(self._transfer, node, load.write_mb, load.writes, done)
        self._at(self.now + work.seconds, self._while_up(node, write))

    def _transfer(self, node: int, megabytes: float, requests: int, done: Callable[[], None]) -> None:
        self.out.requests += requests
        self._transfers[node] += 1
        speed = min(
            self._cluster.node_mb_per_s / self._transfers[node],
            self._cluster.store_mb_per_s / sum(self._transfers),
        )

        def over() -> None:
            self._transfers[node] -= 1
            done()

        self._at(self.now + requests * self._cluster.latency_s + megabytes / speed, self._while_up(node, over))

    def _finish(self, node: int, worker: int, work: _Work) -> None:
        self.out.written_mb += self._load.write_mb
        self.out.busy_s += work.seconds
        self.out.shards += 1
        self._left -= 1
        del self._in_hand[node][worker]
        self._take(node, worker)

    def _while_up(self, node: int, happens: Callable[[], None]) -> Callable[[], None]:
        """The same, unless the node has been lost by then."""
        life = self._life[node]
        return lambda: happens() if self._life[node] == life else None

    def _fail(self, node: int, life: int) -> None:
        if life != self._life[node]:
            return
        self.out.failures += 1
        self._life[node] += 1
        self._transfers[node] = 0
        for work in self._in_hand[node].values():
            self.out.lost_s += self.now - work.taken_s
            self.out.retries += 1
            self._at(self.now + self._cluster.lease_s, partial(self._give_back, work.seconds))
        self._in_hand[node].clear()
        back_s = self.now + self._cluster.recover_s
        self._up_at[node], self._fails_at[node] = back_s, back_s + self._lifetime()
        self._at(back_s, partial(self._start, node, self._life[node]))
        self._at(self._fails_at[node], partial(self._fail, node, self._life[node]))

    def _give_back(self, seconds: float) -> None:
        """The lease of a lost worker has run out: somebody who is free takes the shard."""
        self._waiting.append(seconds)
        for node in range(self._cluster.nodes):
            if self._up_at[node] <= self.now:
                for worker in range(self._cluster.workers):
                    if self._waiting:
                        self._take(node, worker)
