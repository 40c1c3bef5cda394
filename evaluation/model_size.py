"""A case and its answers at the size that the model works at, to be scored beside those at the picture's own size.

At the picture's own size a model is judged on what a user gets: its output, scaled back up. Here the scaling is undone.
"""

from dataclasses import replace

from decoupage.images.sizes import bounded_size, resize_mask, resize_picture, resize_rgba
from evaluation.cases import Case
from evaluation.method import Layers


def case_at(case: Case, size_px: int) -> Case:
    """A case with at most `size_px` x `size_px` pixels, truth and all; no maps, which no score needs."""
    size = bounded_size(case.size, size_px**2)
    return replace(
        case,
        composite=resize_picture(case.composite, size),
        mask=resize_mask(case.mask, size),
        visible=resize_mask(case.visible, size),
        background=None if case.background is None else resize_picture(case.background, size),
        foreground=None if case.foreground is None else resize_rgba(case.foreground, size),
        maps=None,
        covered=None if case.covered is None else resize_mask(case.covered, size, "touched"),
    )


def layers_at(layers: Layers, size: tuple[int, int]) -> Layers:
    """Layers at (height, width)."""
    return Layers(
        None if layers.background is None else resize_picture(layers.background, size),
        None if layers.foreground is None else resize_rgba(layers.foreground, size),
        None if layers.opacity is None else resize_picture(layers.opacity, size),
    )
