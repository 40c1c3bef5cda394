"""The small base: FLUX.1-Fill's classes for 128 px on a CPU."""

from pathlib import Path
from typing import ClassVar

from decoupage.bases.small_codec import PATCH_PX, SmallCodec
from decoupage.bases.spec import Sampling, Start
from decoupage.bases.tiny import TinyFill

WEIGHTS = Path(__file__).parent / "small_fill"
"""The packaged weights, with their model card."""


class SmallFill(TinyFill):
    """The small inpainting model of FLUX.1-Fill's classes, with tokens of 16 x 16 pixels.

    Noisy token 256 | masked picture 256 | packed mask 256 = 768 channels. A network of this size learns no likely
    detail from noise. It starts from a smooth filling of the hole (`decoupage.starts`) and corrects that in one step,
    so what it gives is the likely mean, and does not depend on a seed.
    """

    name = "small-fill"
    repo_id = "small-fill"
    packaged: ClassVar[Path | None] = WEIGHTS
    codec = SmallCodec
    starts_from: ClassVar[Start] = "filling"
    token_dim = 256
    vae_scale = PATCH_PX
    mask_dim = PATCH_PX**2 * 4
    projection_dim = 768
    pixel_multiple = PATCH_PX * 2
    sampling = Sampling(1, 1.0, 128, "its model card: trained at 128 px and guidance 1, in one step from a filling")
