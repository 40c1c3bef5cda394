"""From any size to one that the base takes, and back to the input size exactly.

A picture is scaled (its aspect kept) and laid into the upper left corner of a canvas; the rest of the canvas
repeats the picture's edge, so that the model sees no false outline there, and lies outside every mask.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

Size = tuple[int, int]
"""(height, width), px."""


@dataclass(frozen=True)
class Geometry:
    """Where a picture of size `input_px` lies on a canvas of size `canvas_px`: scaled to `content_px`, upper left."""

    input_px: Size
    content_px: Size
    canvas_px: Size

    def picture(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Scale (antialiased bicubic, cut to [0, 1]) and pad a picture [B, C, H, W] by repeating its edge."""
        if self.input_px != self.content_px:
            x_BCHW = _resize(x_BCHW, self.content_px).clamp(0, 1)
        return functional.pad(x_BCHW, self._padding, mode="replicate") if any(self._padding) else x_BCHW

    def mask(self, mask_B1HW: torch.Tensor) -> torch.Tensor:
        """Scale and pad a mask with 0. A pixel that the object only touches is object: thin parts stay."""
        if self.input_px != self.content_px:
            mask_B1HW = functional.adaptive_max_pool2d(mask_B1HW, self.content_px)
        return functional.pad(mask_B1HW, self._padding)

    def map(self, map_BCHW: torch.Tensor) -> torch.Tensor:
        """Scale (nearest pixel: labels must not mix) and pad a map by repeating its edge."""
        if self.input_px != self.content_px:
            map_BCHW = functional.interpolate(map_BCHW, self.content_px, mode="nearest-exact")
        return functional.pad(map_BCHW, self._padding, mode="replicate")

    def undo(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Bring a result [B, C, canvas] in [0, 1] back to the input size; exact where nothing was scaled.

        Four channels are straight-alpha RGBA, scaled premultiplied; invisible pixels keep the scaled straight colour.

        Raises:
            ValueError: the result does not have the canvas's size.
        """
        if tuple(x_BCHW.shape[-2:]) != self.canvas_px:
            raise ValueError(f"the result must be {_name(self.canvas_px)}, got {_name(tuple(x_BCHW.shape[-2:]))}")
        x_BCHW = x_BCHW[..., : self.content_px[0], : self.content_px[1]]
        if self.input_px == self.content_px:
            return x_BCHW
        if x_BCHW.shape[1] == 4:
            return _resize_rgba(x_BCHW, self.input_px)
        return _resize(x_BCHW, self.input_px).clamp(0, 1)

    @property
    def _padding(self) -> tuple[int, int, int, int]:
        (height, width), (canvas_height, canvas_width) = self.content_px, self.canvas_px
        return 0, canvas_width - width, 0, canvas_height - height


@dataclass(frozen=True)
class Fitted:
    """A picture [B, 3, h, w] and its mask [B, 1, h, w] in the base's size, and how they came to it."""

    picture: torch.Tensor
    mask: torch.Tensor
    geometry: Geometry

    def unfit(self, result_BCHW: torch.Tensor) -> torch.Tensor:
        """Bring a result [B, 1, 3 or 4 channels, h, w] back to the input size: `Geometry.undo`."""
        return self.geometry.undo(result_BCHW)


def fit(
    picture_BCHW: torch.Tensor,
    mask_B1HW: torch.Tensor,
    multiple: int,
    max_pixels: int | None = None,
    size: Size | None = None,
) -> Fitted:
    """Scale and pad a picture and its mask to a size that the base takes.

    Args:
        picture_BCHW: float [B, 3, H, W] in [0, 1].
        mask_B1HW: float [B, 1, H, W] of 0 and 1.
        multiple: both sides of the canvas are multiples of this, px.
        max_pixels: the canvas has at most so many pixels; larger pictures are scaled down. None: no bound.
        size: (height, width) of the canvas, px; the picture is scaled, up or down, to the largest that fits into it.

    Raises:
        ValueError: picture and mask differ in size, or as `plan_geometry`.
    """
    if picture_BCHW.shape[-2:] != mask_B1HW.shape[-2:]:
        sizes = _name(tuple(mask_B1HW.shape[-2:])), _name(tuple(picture_BCHW.shape[-2:]))
        raise ValueError(f"the mask is {sizes[0]}, the picture is {sizes[1]}")
    height, width = picture_BCHW.shape[-2:]
    geometry = plan_geometry((height, width), multiple, max_pixels, size)
    return Fitted(geometry.picture(picture_BCHW), geometry.mask(mask_B1HW), geometry)


def plan_geometry(input_px: Size, multiple: int, max_pixels: int | None = None, size: Size | None = None) -> Geometry:
    """Decide content and canvas for a picture of size `input_px`; arguments as for `fit`.

    Raises:
        ValueError: both `max_pixels` and `size` given, `size` not in multiples, `max_pixels` below one multiple.
    """
    if multiple < 1:
        raise ValueError(f"multiple must be at least 1, got {multiple}")
    if size is not None:
        if max_pixels is not None:
            raise ValueError("give max_pixels or size, not both")
        if min(size) < 1 or size[0] % multiple or size[1] % multiple:
            raise ValueError(f"size must be in multiples of {multiple} px, got {_name(size)}")
        return Geometry(input_px, _scaled(input_px, min(size[0] / input_px[0], size[1] / input_px[1])), size)
    content = input_px
    if max_pixels is not None:
        if max_pixels < multiple**2:
            raise ValueError(f"max_pixels must be at least {multiple**2} ({multiple}x{multiple} px), got {max_pixels}")
        content = _bounded(input_px, multiple, max_pixels)
    return Geometry(input_px, content, _canvas(content, multiple))


def _bounded(input_px: Size, multiple: int, max_pixels: int) -> Size:
    """The largest size of the same aspect whose canvas has at most `max_pixels`, found by its longer side."""
    longest = max(input_px)
    low, high = 0, longest  # Sizes of longest side `low` fit; canvases grow with the side, so halving finds the last.
    while low < high:
        middle = (low + high + 1) // 2
        canvas = _canvas(_scaled(input_px, middle / longest), multiple)
        low, high = (middle, high) if math.prod(canvas) <= max_pixels else (low, middle - 1)
    if low == 0:
        raise ValueError(f"a picture of {_name(input_px)} does not fit into {max_pixels} pixels")
    return _scaled(input_px, low / longest)


def _scaled(px: Size, scale: float) -> Size:
    return max(1, round(px[0] * scale)), max(1, round(px[1] * scale))


def _canvas(content: Size, multiple: int) -> Size:
    return math.ceil(content[0] / multiple) * multiple, math.ceil(content[1] / multiple) * multiple


def _resize(x_BCHW: torch.Tensor, px: Size) -> torch.Tensor:
    # The antialiased filter has no half precision on the CPU.
    return functional.interpolate(x_BCHW.float(), px, mode="bicubic", antialias=True).to(x_BCHW.dtype)


def _resize_rgba(rgba_BCHW: torch.Tensor, px: Size) -> torch.Tensor:
    colour, alpha = rgba_BCHW[:, :3], rgba_BCHW[:, 3:]
    premultiplied = _resize(torch.cat([colour * alpha, alpha], dim=1), px)
    alpha = premultiplied[:, 3:]
    # Below half a level alpha rounds to 0, and dividing by it would only blow up rounding errors.
    straight = torch.where(alpha < 0.5 / 255, _resize(colour, px), premultiplied[:, :3] / alpha.clamp(min=0.5 / 255))
    return torch.cat([straight, alpha], dim=1).clamp(0, 1)


def _name(px: tuple[int, ...]) -> str:
    return f"{px[1]}x{px[0]} px"
