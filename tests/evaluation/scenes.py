"""Small held-out lists for the tests of the evaluation, and methods whose score is known beforehand."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from decoupage.maps.table import StoredMaps
from evaluation.cases import Case
from evaluation.method import BACKGROUND, FOREGROUND, Failure, Layers, Method, MethodRecipe, answer
from evaluation.test_sets.shards import case_of
from pipelines.scenes.parts import SceneParts
from pipelines.synthetic import random_scene, record_of

SIZE_PX = 64


def scene(number: int, size_px: int = SIZE_PX) -> tuple[SceneParts, StoredMaps]:
    """A scene of `number % 3 + 1` layers, with maps that say nothing."""
    parts, _ = random_scene(f"{number:08d}", size_px)
    parts = replace(parts, record=record_of(parts, "recipe", 0))
    blank = np.zeros(parts.size, np.uint8)
    return parts, {"edges": blank.astype(bool), "segmentation": blank, "depth": blank}


def cases(num_scenes: int = 6, size_px: int = SIZE_PX) -> list[Case]:
    """All cases of the first scenes."""
    found = []
    for number in range(num_scenes):
        parts, maps = scene(number, size_px)
        found += [case_of(parts, maps, layer) for layer in range(len(parts.layers))]
    return found


class Known:
    """A method made of a function of the case, which may look at the truth; as its own record it answers at once."""

    def __init__(self, name: str, function: Callable[[Case], Layers], gives: Sequence[str] = (BACKGROUND, FOREGROUND)):
        self.name, self.gives, self.function = name, frozenset(gives), function

    def __call__(self, case: Case) -> Layers | Failure:
        return self.function(case)

    def answer(self, case: Case) -> Layers | Failure:
        return answer(self, case)


class Direct:
    """A method as its own record: it is asked when its answer is wanted, one case at a time."""

    def __init__(self, method: Method):
        self.name, self.gives, self._method, self._lock = method.name, method.gives, method, threading.Lock()

    def answer(self, case: Case) -> Layers | Failure:
        with self._lock:
            return answer(self._method, case)


def recipe_of(method: Method, **facts: Any) -> MethodRecipe:
    """A method that is made already, to be recorded."""
    return MethodRecipe(method.name, method.gives, lambda: method, facts)


truth = Known("truth", lambda case: Layers(case.background, case.foreground))
