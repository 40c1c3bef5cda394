"""What a method is: cases in, layers out. Here is the interface, and how a method's faults become counted failures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from decoupage.images.types import Rgb, Rgba
from evaluation.cases import Case

BACKGROUND, FOREGROUND = "background", "foreground"


@dataclass(frozen=True)
class Layers:
    """A method's answer to one case: background [H, W, 3], foreground [H, W, 4] with straight alpha; uint8."""

    background: Rgb | None = None
    foreground: Rgba | None = None


@dataclass(frozen=True)
class Failure:
    """No usable answer, and why. It counts as the worst answer there is."""

    reason: str


class Method(Protocol):
    """Something that takes pictures apart.

    Attributes:
        name: in reports; snake_case.
        gives: `background`, `foreground` or both. A part that is not promised is not measured; one that is promised
            and missing is a failure.
    """

    name: str
    gives: frozenset[str]

    def __call__(self, cases: Sequence[Case]) -> Sequence[Layers | Failure]:
        """The layers of each case, or why there are none. Of a case only composite, mask and maps may be used.

        All cases have one size.

        Raises:
            ValueError, RuntimeError, cv2.error: the cases cannot be worked on; each is then tried alone.
        """
        ...


def answers(method: Method, cases: Sequence[Case]) -> list[Layers | Failure]:
    """A method's answer to each case; a fault counts against the case that it belongs to, not against its batch."""
    try:
        given = list(method(cases))
        if len(given) != len(cases):
            raise ValueError(f"{method.name} gave {len(given)} answers for {len(cases)} images")
        return [_checked(method, case, layers) for case, layers in zip(cases, given, strict=True)]
    except (ValueError, RuntimeError, cv2.error) as error:
        if len(cases) == 1:
            return [Failure(f"{type(error).__name__}: {error}".splitlines()[0])]
    return [answer for case in cases for answer in answers(method, [case])]


def _checked(method: Method, case: Case, layers: Layers | Failure) -> Layers | Failure:
    if isinstance(layers, Failure):
        return layers
    for part, picture, channels in ((BACKGROUND, layers.background, 3), (FOREGROUND, layers.foreground, 4)):
        if part not in method.gives:
            continue
        if picture is None:
            return Failure(f"no {part}")
        if picture.shape != (*case.size, channels) or picture.dtype != np.uint8:
            return Failure(f"the {part} is {picture.dtype} {list(picture.shape)}, not uint8 {[*case.size, channels]}")
    return layers
