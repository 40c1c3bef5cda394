"""The small base as a task: flow matching on photographs with holes, and a refiner for its VAE."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from decoupage.bases.small import SmallFill, save_base
from decoupage.bases.spec import Components
from decoupage.contexts import make_contexts
from decoupage.faults import BadSetup
from decoupage.randomness import digest
from decoupage.starts import background_start
from training import noise
from training.licences import UNSTATED, Licences
from training.losses import draw_sigma
from training.sample_grids import Column, levels, sample_grid
from training.small_base.card import Judged, Origin, write_card
from training.small_base.config import SmallBaseConfig
from training.small_base.photographs import Photograph, crop, draw_hole, generators, recoloured
from training.task import Losses, Modules, Place

NAME = "small_base"
_VAE_SAMPLES = 600
_VAE_SEED_STREAM = "small_base.codec"
NUM_SHOWN = 8
_NOISE_ALONE_SHARE = 0.5
_DECODER_STRIDE = 4
"""The VAE's decoder learns from every fourth picture of a batch."""


@dataclass(frozen=True)
class HoleBatch:
    """Photographs with holes.

    Attributes:
        end: see `training.task.Task.batches`.
        positions: of each sample.
        picture_B3HW: in [-1, 1]; hole_B1HW: 1 = to be generated.
    """

    end: int
    positions: tuple[int, ...]
    picture_B3HW: Tensor
    hole_B1HW: Tensor


def num_parameters(config: SmallBaseConfig) -> tuple[int, int]:
    """Number of trained parameters, and of the network's among them, which are averaged."""
    with torch.device("meta"):
        parts = SmallFill().new(**config.geometry.model_dump())
    network, decoder = (
        sum(p.numel() for p in part.parameters()) for part in (parts["transformer"], parts["vae"].decoder)
    )
    return network + decoder, network


class SmallBaseTask:
    """See `training.task.Task`. The network learns to fill holes, the VAE's decoder to smooth its patches' seams.

    Args:
        photographs: all there are; the held-out ones judge.
        licences: what binds the weights, for the export.

    Raises:
        BadSetup: none is left for training, or for judging.
    """

    name = NAME

    def __init__(
        self, config: SmallBaseConfig, photographs: Sequence[Photograph], place: Place, licences: Licences = UNSTATED
    ) -> None:
        self.config, self._place, self._licences = config, place, licences
        held_out = set(config.photographs.held_out)
        self.trained = [photograph for photograph in photographs if photograph.name not in held_out]
        self.held_out = [photograph for photograph in photographs if photograph.name in held_out]
        if not self.trained or not self.held_out:
            raise BadSetup("the small base needs photographs to train on and held-out ones to be judged by")
        self.base = SmallFill()
        torch.manual_seed(config.seed)
        self.components: Components = self.base.new(**config.geometry.model_dump(), shift=config.objective.shift)
        self._fit_vae()
        vae, network = self.components["vae"].to(place.device), self.components["transformer"].to(place.device)
        vae.requires_grad_(False)
        vae.decoder.requires_grad_(True)
        self.modules: Modules = {"network": network.train(), "decoder": vae.decoder.train()}

    @cached_property
    def identity(self) -> dict[str, str]:
        """See `Task.identity`."""
        used = digest(*(f"{photograph.name} {photograph.sha256}" for photograph in self.trained)).hex()[:16]
        return {"recipe": self.config.fingerprint(), "photographs": used}

    # ---- samples

    def batches(self, start: int) -> Iterator[HoleBatch]:
        """See `Task.batches`."""
        place, share = self._place, self.config.photographs.recolour_share
        while True:
            end = start + self.config.batch.micro_batch * place.world_size
            positions = tuple(range(start + place.rank, end, place.world_size))
            yield self._batch(self.trained, (self.config.seed, NAME), positions, share, end)
            start = end

    def _batch(
        self,
        photographs: Sequence[Photograph],
        stream: tuple[int, str],
        positions: tuple[int, ...],
        recolour_share: float,
        end: int,
    ) -> HoleBatch:
        """Crops with holes, each drawn from its own generator: that of (seed, name) of the stream at its position."""
        config = self.config.photographs
        pictures, holes = [], []
        for position in positions:
            rng = next(generators(*stream, position))
            rgb = crop(photographs, config.size_px, config.min_crop_share, rng)
            pictures.append(recoloured(rgb, recolour_share, rng))
            holes.append(draw_hole(config.size_px, config.max_hole_share, rng))
        picture_B3HW = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
        return HoleBatch(end, positions, picture_B3HW, torch.from_numpy(np.stack(holes)).float()[:, None])

    @cached_property
    def validation(self) -> HoleBatch:
        """Crops of held-out photographs, always the same ones, in their own colours."""
        number = self.config.photographs.num_validation
        return self._batch(self.held_out, (0, "small_base.validation"), tuple(range(number)), 0.0, number)

    # ---- losses

    def losses(self, modules: Modules, batch: HoleBatch, step: int) -> Iterator[tuple[str, Losses]]:
        """See `Task.losses`."""
        yield "network", self._inpainting(modules["network"], batch, self.config.objective.filling_share)
        yield "decoder", self._reconstruction(modules["decoder"], batch)

    def _inpainting(self, network: nn.Module, batch: HoleBatch, filling_share: float) -> Losses:
        base, config, device = self.base, self.config, self._place.device
        picture, hole = batch.picture_B3HW.to(device), batch.hole_B1HW.to(device)
        with torch.no_grad():
            clean = base.pack(base.encode(self.components["vae"], picture))
            context = make_contexts(base, self.components["vae"], picture, hole, hole).background_BNK
            touched_BN1 = base.pack_mask(hole).amax(dim=-1, keepdim=True)
        shape = clean.shape[1:]

        def drawn(stream: str, draw: Any) -> Tensor:
            return noise.per_sample(config.seed, stream, batch.positions, draw).to(device)

        noise_BND = drawn("noise", lambda generator: torch.randn(shape, generator=generator))
        start_BND = background_start(base, self.components["vae"], picture, hole, lambda: noise_BND)
        sigma_B = drawn("sigma", lambda generator: draw_sigma(1, config.objective.shift, generator)[0])
        is_filled_B = drawn("filling", lambda generator: torch.rand((), generator=generator)) < filling_share
        # By a noise level of its own the network would know a filling, and answer it by its last modulation alone,
        # which then lets nothing through that an adapter could learn: half of the samples from noise have that level.
        is_noise_B = drawn("noise alone", lambda generator: torch.rand((), generator=generator)) < _NOISE_ALONE_SHARE
        start_BND = torch.where(is_filled_B.reshape(-1, 1, 1), start_BND, noise_BND)
        sigma_B = torch.where(is_filled_B | is_noise_B, 1.0, sigma_B)
        sigma_B11 = sigma_B.reshape(-1, 1, 1)
        tokens = torch.cat([base.mix(clean, start_BND, sigma_B11), context], dim=-1)
        prediction = self._predict(network, tokens, sigma_B)
        squared = (prediction.float() - base.target(clean, start_BND, sigma_B11)).square().mean(dim=-1, keepdim=True)
        weight_BN1 = 1 + (config.objective.hole_weight - 1) * touched_BN1
        parts = {
            "hole": (squared * touched_BN1).sum() / touched_BN1.sum(),
            "outside": (squared * (1 - touched_BN1)).sum() / (1 - touched_BN1).sum().clamp(min=1),
        }
        return Losses((squared * weight_BN1).sum() / weight_BN1.sum(), parts)

    def _predict(self, network: nn.Module, tokens: Tensor, sigma_B: Tensor) -> Tensor:
        rows = columns = self.config.photographs.size_px // self.base.pixel_multiple
        ids = self.base.ids("background", rows, columns).to(tokens.device)
        text = self.base.embed_text(self.components, [""] * len(tokens), tokens.device)
        return self.base.predict(network, tokens, ids, text, sigma_B, 1.0)

    def _reconstruction(self, decoder: nn.Module, batch: HoleBatch) -> Losses:
        # Of a whole batch the refiner would cost as much as the network.
        picture = batch.picture_B3HW[::_DECODER_STRIDE].to(self._place.device)
        with torch.no_grad():
            latents = self.components["vae"].encode(picture).latent_dist.mode()
        return Losses((decoder(latents) - picture).square().mean(), {})

    # ---- judging

    @torch.no_grad()
    def validation_loss(self, modules: Modules) -> float:
        """See `Task.validation_loss`: mean squared error of pixels in holes, one step from noise level 1."""
        batch = self.validation
        filled = self.fill(modules["network"], batch)
        squared = (filled - batch.picture_B3HW.to(filled.device)).square().mean(dim=1, keepdim=True)
        hole = batch.hole_B1HW.to(filled.device)
        return float((squared * hole).sum() / hole.sum())

    @torch.no_grad()
    def fill(self, network: nn.Module, batch: HoleBatch) -> Tensor:
        """[B, 3, H, W] in [-1, 1]: the batch's holes (and all else) as the network sees them, in one step."""
        device = self._place.device
        picture, hole = batch.picture_B3HW.to(device), batch.hole_B1HW.to(device)
        context = make_contexts(self.base, self.components["vae"], picture, hole, hole).background_BNK
        shape = (context.shape[1], self.base.token_dim)
        start = background_start(
            *(self.base, self.components["vae"], picture, hole),
            lambda: noise.per_sample(
                0, "small_base.fill", batch.positions, lambda generator: torch.randn(shape, generator=generator)
            ).to(device),
        )
        ones_B = torch.ones(len(picture), device=device)
        clean = start - self._predict(network, torch.cat([start, context], dim=-1), ones_B)
        size = self.config.photographs.size_px
        return self.base.decode(self.components["vae"], self.base.unpack(clean, size, size)).clamp(-1, 1)

    @torch.no_grad()
    def samples(self, modules: Modules) -> NDArray[np.uint8]:
        """See `Task.samples`: held-out photographs, their holes, and what fills them."""
        batch = self.validation
        filled = self.fill(modules["network"], batch)
        shown = slice(0, NUM_SHOWN)
        pictures, found = levels(batch.picture_B3HW[shown]), levels(filled[shown])
        hole_BHW = batch.hole_B1HW[shown, 0].numpy() > 0.5
        return sample_grid(
            [
                Column("photograph and hole", pictures, hole_BHW),
                Column("filled", np.where(hole_BHW[..., None], found, pictures)),
                Column("as the base gives it", found),
                Column("photograph", pictures),
            ]
        )

    def export(self, folder: Path) -> None:
        """See `Task.export`: the base in diffusers' layout, in half precision, with its model card."""
        if self._place.rank:
            return
        halved = {name: self.components[name] for name in ("transformer", "vae")}
        for part in halved.values():
            part.half()
        save_base(self.components, str(folder))
        for part in halved.values():
            part.float()
        origin = Origin(self.config, self.identity, self._licences, self.trained, self.held_out)
        write_card(folder, self._judged(), origin)

    @torch.no_grad()
    def _judged(self) -> Judged:
        batch, vae = self.validation, self.components["vae"]
        decoded = self.base.decode(vae, self.base.encode(vae, batch.picture_B3HW))
        filled = self.fill(self.modules["network"], batch)
        hole_BHW = batch.hole_B1HW[:, 0].numpy() > 0.5
        return Judged(levels(batch.picture_B3HW), hole_BHW, levels(filled), levels(decoded))

    def _fit_vae(self) -> None:
        """Principal components of the training photographs' patches: the VAE's encoder is closed form."""
        config = self.config.photographs
        streams = generators(self.config.seed, _VAE_SEED_STREAM, 0)
        crops = [
            recoloured(crop(self.trained, config.size_px, config.min_crop_share, rng), config.recolour_share, rng)
            for rng, _ in zip(streams, range(_VAE_SAMPLES), strict=False)
        ]
        self.components["vae"].fit([torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)])
