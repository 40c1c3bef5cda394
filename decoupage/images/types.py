"""Names for the array layouts that the data pipeline passes around (all uint8 unless said otherwise)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""[H, W, 3], sRGB."""
Rgba = NDArray[np.uint8]
"""[H, W, 4], sRGB with straight alpha."""
Gray = NDArray[np.uint8]
"""[H, W], 0..255."""
Mask = NDArray[np.bool_]
"""[H, W], True inside."""
Array = NDArray[Any]
