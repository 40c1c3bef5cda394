"""Quality of a trained RGBA VAE, measured on samples that it was not trained on.

The composite's figure is that of Qwen-Image-Layered (table 3) and AlphaVAE: both pictures are laid over nine plain
colours, and the PSNRs are averaged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from decoupage.rgba_vae import OpaqueDrift, decode_rgba, encode_rgba, opaque_drift
from training.losses import over

NINE_COLOURS = (*product((-1.0, 1.0), repeat=3), (0.0, 0.0, 0.0))
"""The corners of the colour cube and mid-gray, in [-1, 1]."""
_PSNR_CEILING_DB = 100.0


@dataclass(frozen=True)
class RgbaFigures:
    """Quality of an RGBA VAE as means over samples.

    Attributes:
        alpha_mae: mean absolute error of foregrounds' alpha, as a share of the full range.
        composite_psnr_db: PSNR of foregrounds over `NINE_COLOURS`.
        opaque_*, latent_mse: figures of whole scenes, see `decoupage.rgba_vae.OpaqueDrift`.
    """

    num_samples: int
    alpha_mae: float
    composite_psnr_db: float
    opaque_psnr_db: float
    opaque_psnr_rgb_vae_db: float
    opaque_psnr_loss_db: float
    opaque_alpha_mae: float
    latent_mse: float

    @property
    def drift(self) -> OpaqueDrift:
        """The figures of whole scenes."""
        return OpaqueDrift(self.latent_mse, self.opaque_psnr_rgb_vae_db, self.opaque_psnr_db, self.opaque_alpha_mae)


@torch.no_grad()
def measure(vae: Any, rgb_vae: Any, samples: Iterable[tuple[Tensor, Tensor]]) -> RgbaFigures:
    """Measure an RGBA VAE.

    Args:
        vae: the RGBA VAE; rgb_vae: the RGB VAE that it was widened from.
        samples: foregrounds [B, 4, H, W] and composites [B, 3, H, W] in [-1, 1], any number of batches; pictures go
            through one at a time.

    Raises:
        ValueError: there are no samples.
    """
    rows = []
    for foregrounds_B4HW, composites_B3HW in samples:
        for foreground, composite in zip(foregrounds_B4HW.split(1), composites_B3HW.split(1), strict=True):
            decoded = decode_rgba(vae, encode_rgba(vae, foreground)).float().clamp(-1, 1)
            alpha_mae = float((decoded[:, 3] - foreground[:, 3]).abs().mean()) / 2
            drift = opaque_drift(vae, rgb_vae, composite)
            figures = (drift.psnr_rgba_db, drift.psnr_rgb_db, drift.psnr_loss_db, drift.alpha_mae, drift.latent_mse)
            rows.append((alpha_mae, composite_psnr_db(decoded, foreground), *figures))
    if not rows:
        raise ValueError("there are no samples to measure the RGBA VAE by")
    means = torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()
    return RgbaFigures(len(rows), *means)


def composite_psnr_db(decoded_B4HW: Tensor, target_B4HW: Tensor) -> float:
    """Mean PSNR, over samples and `NINE_COLOURS`, of decoded and target laid over that colour; at most 100 dB each."""
    colours_9311 = target_B4HW.new_tensor(NINE_COLOURS)[:, :, None, None]
    psnrs = []
    for decoded, target in zip(decoded_B4HW.split(1), target_B4HW.split(1), strict=True):
        mse_9 = (over(decoded, colours_9311) - over(target, colours_9311)).double().square().mean(dim=(1, 2, 3))
        psnrs.append((10 * torch.log10(4 / mse_9)).clamp(max=_PSNR_CEILING_DB).mean())
    return float(torch.stack(psnrs).mean())
