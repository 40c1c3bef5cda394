"""What a method is: a case in, layers out; what decides its answers; and how its faults become counted failures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np

from decoupage.faults import BadItem, BadOutput
from decoupage.fingerprint import fingerprint
from decoupage.images.types import Gray, Rgb, Rgba
from decoupage.text_files import printable
from evaluation.cases import Case

BACKGROUND, FOREGROUND, OPACITY = "background", "foreground", "opacity"
SAME_AREA = "up or down to the area that it works at"
"""How models bring pictures to their size, by `decoupage.images.sizes.working_geometry`: all by the same rule."""


@dataclass(frozen=True)
class Layers:
    """A method's answer to one case; uint8.

    Attributes:
        background: [H, W, 3].
        foreground: [H, W, 4], straight alpha.
        opacity: [H, W], of the background over the composite, in the picture that a user of the method gets: 255 where
            all is the method's own, 0 where all is the composite's. None = 255 inside the given mask, 0 outside.
    """

    background: Rgb | None = None
    foreground: Rgba | None = None
    opacity: Gray | None = None


@dataclass(frozen=True)
class Failure:
    """No usable answer, and why. It counts as the worst answer there is."""

    reason: str


class Named(Protocol):
    """What is known of a method beforehand.

    Attributes:
        name: in reports; snake_case.
        gives: `background`, `foreground` or both. A part that is not promised is not measured; one that is promised
            and missing is a failure.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def gives(self) -> frozenset[str]:
        """See above."""
        ...


class Method(Named, Protocol):
    """Something that takes pictures apart."""

    def __call__(self, case: Case) -> Layers | Failure:
        """The layers of a case at its own size, or why there are none. Only composite, mask and maps may be used.

        Raises:
            ValueError, RuntimeError, ArithmeticError, MemoryError, cv2.error, BadItem: the case cannot be worked on.
            BadOutput: a network gave values that are not finite, and there is no output.
        """
        ...


@dataclass(frozen=True)
class MethodRecipe:
    """Everything that decides a method's answers, and the way to make it.

    Attributes:
        name: see `Method`.
        gives: see `Method`.
        make: loads the method. It is called only if an answer is missing, and its result is released afterwards.
        facts: what identifies its weights or its code; plain JSON values.
        settings: settings of the call (steps, seed, ...); plain JSON values. Answers to other facts or settings are
            other answers.
        maps: names of the maps that it is given.
        size_px: side of the area at which the model works, where it is known to have one; it scales by itself.
        folder: of its record in a room; "" = the name. Two methods of one name (a champion, a candidate) need two.
        only_read: it is never run: what its record lacks is a fault, and a recorded failure stays.
        controls: the same method under conditions that show what it makes of what it is given (`evaluation.controls`);
            they decide none of its answers.
    """

    name: str
    gives: frozenset[str]
    make: Callable[[], Method] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    maps: tuple[str, ...] = ()
    size_px: int | None = None
    folder: str = ""
    only_read: bool = False
    controls: tuple["MethodRecipe", ...] = ()

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all that decides its answers."""
        said = {"name": self.name, "gives": sorted(self.gives), "maps": list(self.maps), "size_px": self.size_px}
        return fingerprint({**said, "facts": dict(self.facts), "settings": dict(self.settings)})


class Answered(Named, Protocol):
    """A method whose answers exist: a `MethodRecord`."""

    def answer(self, case: Case) -> Layers | Failure:
        """Its answer to a case; several threads ask at once."""
        ...


def answer(method: Method, case: Case) -> Layers | Failure:
    """A method's answer to a case; its faults and broken promises are failures."""
    try:
        layers = method(case)
    except (ValueError, RuntimeError, ArithmeticError, MemoryError, cv2.error, BadItem, BadOutput) as error:
        return Failure(printable(f"{type(error).__name__}: {error}".splitlines()[0]))
    if isinstance(layers, Failure):
        return layers
    if not isinstance(layers, Layers):
        return Failure(f"it gave {type(layers).__name__}, not Layers")
    for part, picture, channels in ((BACKGROUND, layers.background, 3), (FOREGROUND, layers.foreground, 4)):
        if part in method.gives and (reason := _reason_against(part, picture, (*case.size, channels))):
            return Failure(reason)
    if layers.opacity is not None and (reason := _reason_against(OPACITY, layers.opacity, case.size)):
        return Failure(reason)
    return layers


def _reason_against(part: str, picture: object, shape: tuple[int, ...]) -> str:
    """Why a part of an answer cannot be scored; empty when it can."""
    if picture is None:
        return f"no {part}"
    if not isinstance(picture, np.ndarray):
        return f"the {part} is {type(picture).__name__}, not a numpy array"
    if picture.dtype.kind in "fc" and not np.isfinite(picture).all():
        return f"the {part} has values that are not finite ({np.mean(~np.isfinite(picture)):.1%} of {picture.dtype})"
    if picture.shape != shape or picture.dtype != np.uint8:
        return f"the {part} is {picture.dtype} {list(picture.shape)}, not uint8 {list(shape)}"
    return ""
