"""Scenes of an object store, fetched before they are needed: an answer takes tens of milliseconds, as a sample does.

Which ones is known, because the order of samples is a function of the seed. Threads fetch and compare hashes; what they
have fetched waits in memory.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from training.data.index import SceneIndex

AHEAD = 8
"""Scenes that each process that reads asks for beyond those of its batch."""


class ReadAhead:
    """Reads the scenes of an index in threads. It belongs to one process."""

    def __init__(self, index: SceneIndex) -> None:
        self._index = index
        self._pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="scenes")
        self._asked: dict[int, Future[dict[str, bytes]]] = {}

    def expect(self, scenes: Iterator[int], num_now: int) -> None:
        """Ask for the scenes that come next, and forget those that were asked for and do not come.

        Args:
            scenes: in order, as far as they are looked for.
            num_now: how many of them are needed now.
        """
        now = list(islice(scenes, num_now))
        # Of few scenes the same ones come again and again.
        later = dict.fromkeys(islice(scenes, 4 * AHEAD))
        wanted = dict.fromkeys([*now, *islice((i for i in later if i not in now), AHEAD)])
        for i in [i for i in self._asked if i not in wanted]:
            self._asked.pop(i).cancel()
        for i in wanted:
            if i not in self._asked:
                self._asked[i] = self._pool.submit(self._index.read, i)

    def read(self, i: int) -> dict[str, bytes]:
        """The members of scene i by suffix; raises as `SceneIndex.read`."""
        asked = self._asked.get(i)
        return asked.result() if asked else self._index.read(i)
