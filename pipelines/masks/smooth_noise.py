"""Low-frequency noise: what makes an edge look drawn by hand. Errors themselves live in the other files."""

import cv2
import numpy as np
from numpy.typing import NDArray


def smooth_noise(shape: tuple[int, int], wavelength_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """[H, W] noise without detail finer than `wavelength_px`; values mostly in [-1, 1], never beyond +-2."""
    height, width = shape
    rows, columns = (2 + int(side / wavelength_px) for side in shape)
    coarse = rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
