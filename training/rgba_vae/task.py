"""The RGBA VAE as a task: foregrounds and opaque scenes, encoded and decoded by the widened VAE (the AlphaVAE recipe).

The losses are in `losses.py`; here they are given batches, the frozen RGB VAE, and the order in which parts of the VAE
begin to be trained.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from decoupage.bases import find_base
from decoupage.bases.small import SmallFill
from decoupage.bases.small_codec import SmallCodec
from decoupage.randomness import hash64
from decoupage.rgba_vae import widen_vae
from pipelines.stages.store import Store
from training import noise
from training.data import TripletBatch
from training.licences import UNSTATED, Licences
from training.network import read_base, weights_digest
from training.rgba_vae.card import write_card
from training.rgba_vae.config import RgbaVaeConfig
from training.rgba_vae.data import as_opaque, make_loader, rgba_targets, validation_batches
from training.rgba_vae.figures import RgbaFigures, measure
from training.rgba_vae.losses import Posterior, RgbaLoss, RgbaObjective, load_lpips, opaque_samples, reconstruction_loss
from training.rgba_vae.networks import Coded, PatchDiscriminator, RgbaAutoencoder, trunk_parameters
from training.sample_grids import Column, levels, sample_grid
from training.task import Losses, Modules, Place

NUM_SHOWN = 4
"""Number of samples in a grid, each as a foreground and as a scene."""
_HEAVY = ("transformer", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
"""Components of a base that this task does not need."""


class RgbaVaeTask:
    """See `training.task.Task`.

    Args:
        config: configuration of the run.
        source: shards, as `TripletLoader` takes them; their maps are not used.
        rgb_vae: the base's VAE; it is frozen, and stays as it is.
        place: device and rank of this process.
        licences: what binds the weights, for the export.

    Raises:
        BadSetup: as `load_lpips` and `TripletLoader`.
        TypeError, ValueError: the VAE cannot be widened, or cannot recompute what checkpointing leaves out.
    """

    name = "rgba_vae"

    def __init__(
        self,
        config: RgbaVaeConfig,
        source: Store | str,
        rgb_vae: Any,
        place: Place,
        licences: Licences = UNSTATED,
    ) -> None:
        self.config, self._source, self._place, self._licences = config, source, place, licences
        perceptual = load_lpips(config)
        self._perceptual = None if perceptual is None else perceptual.to(place.device)
        self._loader = make_loader(config, source, place)
        self._rgb_vae = rgb_vae.requires_grad_(False).eval().to(place.device)
        # Averages and small steps need float32, whatever type the base was loaded in.
        self._vae = widen_vae(rgb_vae).float().requires_grad_(True).train()
        if isinstance(self._vae, SmallCodec):  # Its codes are closed forms, and the same for every RGBA VAE.
            self._vae.encoder.requires_grad_(False)
        if config.compute.checkpoint_every_blocks:
            self._vae.enable_gradient_checkpointing()
        modules: dict[str, nn.Module] = {"vae": RgbaAutoencoder(self._vae).to(place.device)}
        if config.has_adversary:
            modules["discriminator"] = _new_discriminator(config.seed).to(place.device)
        self.modules: Modules = modules
        self._trunk = trunk_parameters(self._vae, rgb_vae) if config.freeze_trunk_steps else []

    @cached_property
    def identity(self) -> Mapping[str, str]:
        """See `Task.identity`."""
        return {
            "recipe": self.config.fingerprint(),
            **self._loader.index.identity,
            "base": weights_digest(self._rgb_vae),
        }

    def batches(self, start: int) -> Iterator[TripletBatch]:
        """See `Task.batches`."""
        return self._loader.batches(start)

    # ---- losses

    def losses(self, modules: Modules, batch: TripletBatch, step: int) -> Iterator[tuple[str, Losses]]:
        """See `Task.losses`: the VAE's, and from the adversary's first step on the discriminator's."""
        target_B4HW = self._targets(batch)
        opaque_share = float(opaque_samples(target_B4HW).float().mean())
        weights = self.config.weights
        # The tie is a mean over opaque samples alone; by their share it becomes one over all samples, and the sum over
        # a batch is the same however it is split.
        weights = weights.model_copy(update={"tie": weights.tie * opaque_share})
        objective = RgbaObjective(weights, self._perceptual, modules.get("discriminator"))
        coded: Coded = modules["vae"](target_B4HW, self._noise(batch.positions))
        last_layer = self._vae.decoder.conv_out.weight if objective.has_adversary(step) else None
        reference = self._reference(target_B4HW)
        loss = objective.for_vae(coded.decoded_B4HW, target_B4HW, coded, reference, step, last_layer)
        yield "vae", Losses(loss.total, _parts(loss, opaque_share))
        if step < self.config.freeze_trunk_steps:
            self._clear_trunk_gradients()
        own = objective.for_discriminator(coded.decoded_B4HW, target_B4HW, step)
        if own is not None:
            yield "discriminator", Losses(own, {})

    def _clear_trunk_gradients(self) -> None:
        """Set the gradients of the trunk to zero, so that it is not trained in this step.

        To zero rather than to None, and after the backward pass rather than by `requires_grad`: so moments and the
        sums of several processes are the same for every parameter from the first step on.
        """
        for parameter in self._trunk:
            if parameter.grad is not None:
                parameter.grad.zero_()

    def _targets(self, batch: TripletBatch) -> Tensor:
        batch = batch.to(self._place.device, non_blocking=True)
        return rgba_targets(batch, self.config.seed, self.config.opaque_share)

    def _noise(self, positions: tuple[int, ...]) -> Tensor | None:
        """Noise [B, C, h, w] for the draw from the posterior; None for a VAE whose posterior has no spread."""
        shape = self._latent_shape
        if shape is None:
            return None
        drawn = noise.per_sample(
            self.config.seed, "posterior", positions, lambda generator: torch.randn(shape, generator=generator)
        )
        return drawn.to(self._place.device, non_blocking=True)

    @cached_property
    def _latent_shape(self) -> tuple[int, int, int] | None:
        """Shape (C, h, w) of a sample's latents; None when the posterior has no spread."""
        size_px = self._loader.size_px
        posterior = self._posterior(torch.zeros(1, 3, size_px, size_px, device=self._place.device))
        channels, height, width = posterior.mean.shape[1:]
        return None if posterior.deterministic else (channels, height, width)

    def _reference(self, target_B4HW: Tensor) -> Posterior | None:
        """The RGB VAE's posterior for the opaque samples; None where there are none."""
        rows = opaque_samples(target_B4HW)
        return self._posterior(target_B4HW[rows, :3]) if rows.any() else None

    @torch.no_grad()
    def _posterior(self, picture_B3HW: Tensor) -> Posterior:
        return self._rgb_vae.encode(picture_B3HW.to(next(self._rgb_vae.parameters()).dtype)).latent_dist

    # ---- judging

    @torch.no_grad()
    def validation_loss(self, modules: Modules) -> float:
        """See `Task.validation_loss`: reconstruction from the posterior's mode, of foregrounds and scenes alike."""
        losses = []
        for target_B4HW in self._validation_targets(self._place.rank, self._place.world_size):
            decoded = modules["vae"](target_B4HW).decoded_B4HW
            losses.append(reconstruction_loss(decoded.float(), target_B4HW, self.config.weights.reconstruction))
        return float(torch.stack(losses).mean())

    def _validation_targets(self, rank: int = 0, world_size: int = 1) -> Iterator[Tensor]:
        """Targets [2, 4, H, W] of one sample after another: its foreground, and its scene as an opaque picture."""
        for batch in validation_batches(self.config, self._source, rank, world_size):
            yield torch.cat([batch.foreground_B4HW, as_opaque(batch.composite_B3HW)]).to(self._place.device)

    @torch.no_grad()
    def samples(self, modules: Modules) -> NDArray[np.uint8]:
        """See `Task.samples`: targets and their reconstructions, with their alpha."""
        targets = list(islice(self._validation_targets(), NUM_SHOWN))
        target = levels(torch.cat(targets))
        decoded = np.concatenate([levels(modules["vae"](target_B4HW).decoded_B4HW) for target_B4HW in targets])
        return sample_grid(
            [
                Column("target", target),
                Column("reconstruction", decoded),
                Column("alpha", target[..., 3:]),
                Column("reconstructed alpha", decoded[..., 3:]),
            ]
        )

    def figures(self) -> RgbaFigures:
        """The VAE's quality now, on all validation samples."""
        device = self._place.device
        samples = (batch.to(device) for batch in validation_batches(self.config, self._source))
        return measure(self._vae, self._rgb_vae, ((batch.foreground_B4HW, batch.composite_B3HW) for batch in samples))

    def export(self, folder: Path) -> None:
        """See `Task.export`: the VAE as its class's `from_pretrained` loads it, with its card."""
        if self._place.rank:
            return
        self._vae.save_pretrained(folder)
        write_card(folder, self.config, self.identity, self.figures(), self._licences)


def build(
    config: RgbaVaeConfig, source: Store | str, base_folder: str | None, place: Place, licences: Licences = UNSTATED
) -> RgbaVaeTask:
    """A task for the VAE of `config.base`.

    Args:
        source: shards, as `TripletLoader` takes them.
        base_folder: hub id or folder in diffusers' layout; None = where the base is published.
        licences: what binds the weights, for the export.

    Raises:
        as `RgbaVaeTask` and `training.network.read_base`.
    """
    base = find_base(config.base)
    # The small base is a few megabytes; of FLUX.1's 34 GB only the VAE is read.
    options = {} if isinstance(base, SmallFill) else dict.fromkeys(_HEAVY)
    return RgbaVaeTask(config, source, read_base(base, base_folder, **options)["vae"], place, licences)


def _new_discriminator(seed: int) -> nn.Module:
    """A discriminator whose initial weights depend on the seed alone; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(hash64(seed, "training.rgba_vae.discriminator") >> 1)
        return PatchDiscriminator()


def _parts(loss: RgbaLoss, opaque_share: float) -> dict[str, Tensor | float | None]:
    """Figures for the journal, without waiting for the device."""
    parts = {name: None if value is None else value.detach() for name, value in vars(loss).items() if name != "total"}
    # A batch without an opaque sample has nothing to tie; all processes must name the same figures.
    return parts | {"tie": 0.0 if loss.tie is None else loss.tie.detach() * opaque_share}
