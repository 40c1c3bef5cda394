"""What a person says to point out an object, as text from a command line and as checked values.

Coordinates are pixels of the upright picture, counted from its left and upper edge.
"""

from dataclasses import dataclass

import numpy as np

from decoupage.images.types import Mask

Size = tuple[int, int]
"""(height, width), px."""


@dataclass(frozen=True)
class Box:
    """A rectangle around the object; the right and lower edge are exclusive, as in `layers.json`."""

    left_px: int
    top_px: int
    right_px: int
    bottom_px: int

    @classmethod
    def parse(cls, text: str) -> "Box":
        """`LEFT,TOP,RIGHT,BOTTOM`. Raises ValueError."""
        return cls(*_numbers(text, 4, "--box", "LEFT,TOP,RIGHT,BOTTOM in pixels, such as 120,80,360,400"))

    def within(self, size: Size) -> "Box":
        """The part of it that lies in a picture.

        Raises:
            ValueError: that part is empty, or the whole picture.
        """
        height, width = size
        box = Box(max(0, self.left_px), max(0, self.top_px), min(width, self.right_px), min(height, self.bottom_px))
        if box.left_px >= box.right_px or box.top_px >= box.bottom_px:
            raise ValueError(
                f"--box {self} holds no pixel of the picture, which is {width}x{height} px: it takes left, top, right, "
                "bottom, and right and bottom are the larger ones"
            )
        if box == Box(0, 0, width, height):
            raise ValueError(f"--box {self} is the whole picture ({width}x{height} px): no background is left")
        return box

    def mask(self, size: Size) -> Mask:
        """All that it holds of a picture."""
        mask_HW = np.zeros(size, bool)
        mask_HW[self.top_px : self.bottom_px, self.left_px : self.right_px] = True
        return mask_HW

    def __str__(self) -> str:
        return f"{self.left_px},{self.top_px},{self.right_px},{self.bottom_px}"


@dataclass(frozen=True)
class Point:
    """A click on the object or, with `is_object` False, on what is not part of it."""

    x_px: int
    y_px: int
    is_object: bool = True

    @classmethod
    def parse(cls, text: str) -> "Point":
        """`X,Y` or `+X,Y`: on the object; `-X,Y`: not on it. Raises ValueError."""
        is_object = not text.startswith("-")
        form = "X,Y in pixels, such as 240,180, or -X,Y for a place that is not on the object"
        x_px, y_px = _numbers(text.removeprefix("-").removeprefix("+"), 2, "--point", form)
        return cls(x_px, y_px, is_object)

    def __str__(self) -> str:
        return f"{'' if self.is_object else '-'}{self.x_px},{self.y_px}"


def check_points(points: tuple[Point, ...], size: Size) -> None:
    """Raise ValueError where a click lies outside of a picture, or none is on the object."""
    height, width = size
    for point in points:
        if not (0 <= point.x_px < width and 0 <= point.y_px < height):
            raise ValueError(f"--point {point} lies outside of the picture, which is {width}x{height} px")
    if not any(point.is_object for point in points):
        raise ValueError("--point: at least one must be on the object (X,Y without a minus)")


def _numbers(text: str, number: int, option: str, form: str) -> tuple[int, ...]:
    parts = text.split(",")
    # Digits alone: int() also takes signs, spaces, underscores and other scripts' digits.
    if len(parts) != number or not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts):
        raise ValueError(f"{option} must be {form}, got {text!r}")
    return tuple(map(int, parts))
