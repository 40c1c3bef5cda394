"""Pictures and masks in, pictures out: forms, sizes, paste-back, recomposition.

What a user hands over becomes tensors here and what the model gives becomes pictures; nothing here knows a model.
Inside the package a picture is a float32 tensor [B, 3, H, W] in [0, 1] and a mask is [B, 1, H, W] of 0 and 1,
where 1 is the object. Eight-bit pictures pass through exactly.
"""

from decoupage.images.blending import RecompositionError, paste_back, recompose, recomposition_error
from decoupage.images.forms import as_picture, to_pil, to_uint8
from decoupage.images.masks import as_mask
from decoupage.images.sizes import Fitted, Geometry, fit, plan_geometry

__all__ = [
    "Fitted",
    "Geometry",
    "RecompositionError",
    "as_mask",
    "as_picture",
    "fit",
    "paste_back",
    "plan_geometry",
    "recompose",
    "recomposition_error",
    "to_pil",
    "to_uint8",
]
