"""The adapter as a task: LoRA, input projection and fusion learn to take a target out of a picture.

For each batch, frozen VAEs make tokens; noise is mixed in by the samples' positions; the network predicts both
halves; flow matching gives their loss, and optionally the layers laid over one another.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from decoupage.bases.spec import Text
from decoupage.fingerprint import fingerprint
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.publishing.card import CardFacts
from decoupage.publishing.folder import read_manifest
from decoupage.starts import background_start, foreground_start
from pipelines.config import MasksConfig
from training import noise
from training.adapter.added_columns import added_columns
from training.adapter.alpha_levels import alphas_at_own_size, choose_alpha_levels
from training.adapter.grid import decomposed_grid
from training.adapter.model import AdapterModel, Encoded, encode, present_maps
from training.config import TrainingConfig
from training.data import DataLoading, TripletBatch, TripletLoader
from training.losses import (
    Pair,
    clean_estimate,
    decode_layers,
    draw_sigma,
    flow_matching_loss,
    foreground_weight,
    low_sigma_weight,
    pixels_loss,
    recomposition_loss,
)
from training.network import weights_digest
from training.sharding import gathered
from training.task import Losses, Modules, Place

NAME = "adapter"
NUM_SHOWN = 6
"""Samples of a grid."""
_VALIDATION_SEED = 1
"""The same noise for every run, so that their validation losses compare."""


class AdapterTask:
    """See `training.task.Task`.

    Args:
        config: of the run.
        source: shards, as `TripletLoader` takes them.
        pipe: an adapter at step 0 with a trained RGBA VAE, from which training starts.
        masks: errors that re-drawn masks have.
        place: where this process stands.
        card: what the exported card says, besides the run's own figures.
        start: folder of the published adapter whose weights the pipeline has; None = a new one.
    """

    name = NAME

    def __init__(
        self,
        config: TrainingConfig,
        source: str,
        pipe: LayerDecompositionPipeline,
        masks: MasksConfig,
        place: Place,
        card: CardFacts | None = None,
        start: str | None = None,
    ) -> None:
        self.config, self._pipe, self._place, self._source = config, pipe, place, source
        self._base, self._card = pipe.base, card or CardFacts()
        self._loading = DataLoading.of(config, masks)
        self._masks, self._start = masks, start
        pipe.set_progress_bar_config(disable=True)
        self._text = self._take_text()
        for frozen in (pipe.vae, pipe.vae_rgba):
            frozen.requires_grad_(False).eval().to(place.device)
        if pipe.fusion is not None:
            pipe.fusion.register_to_config(modality_dropout=config.objective.modality_dropout)
        self.modules: Modules = {
            NAME: AdapterModel(pipe.base, pipe.transformer, pipe.fusion, pipe.vae, config.adapter.mode).train()
        }

    @cached_property
    def _loader(self) -> TripletLoader:
        place = self._place
        return TripletLoader(self._source, self._loading, place.rank, place.world_size, place.device.type == "cuda")

    @cached_property
    def _foreground_share(self) -> float:
        """Share of the samples whose foreground is known."""
        return self._loader.foreground_share if self.config.data.pairs_share else 1.0

    @cached_property
    def identity(self) -> dict[str, str]:
        """See `Task.identity`."""
        return {
            "recipe": self.config.fingerprint(),
            **self._loader.identity,
            "masks": fingerprint(self._masks.model_dump(mode="json")),
            "base": weights_digest(self._pipe.vae, self._pipe.transformer),
            "rgba_vae": weights_digest(self._pipe.vae_rgba),
            **({"start": fingerprint(read_manifest(Path(self._start)).files)} if self._start else {}),
        }

    def batches(self, start: int) -> Iterator[TripletBatch]:
        """See `Task.batches`."""
        return self._loader.batches(start)

    def losses(self, modules: Modules, batch: TripletBatch, step: int) -> Iterator[tuple[str, Losses]]:
        """See `Task.losses`."""
        yield NAME, self._loss(modules[NAME], batch, self.config.seed, dropout=True)

    def _loss(self, module: nn.Module, batch: TripletBatch, seed: int, dropout: bool) -> Losses:
        batch = batch.to(self._place.device, non_blocking=True)
        positions, base, objective = batch.positions, self._base, self.config.objective
        encoded = self._encode(batch, seed)
        shape = encoded.clean[0].shape[1:]
        mu = base.shift(self._pipe.scheduler, shape[0])

        def drawn(stream: str, draw: Any) -> Tensor:
            return noise.per_sample(seed, stream, positions, draw).to(self._place.device, non_blocking=True)

        sigma_B = drawn("sigma", lambda generator: draw_sigma(1, mu, generator)[0])
        if objective.pure_noise_share:
            pure_B = drawn("pure", lambda generator: torch.rand((), generator=generator)) < objective.pure_noise_share
            sigma_B = torch.where(pure_B, 1.0, sigma_B)

        def normal(half: str) -> Callable[[], Tensor]:
            return lambda: drawn(half, lambda generator: torch.randn(shape, generator=generator))

        picture, pipe, fusion = batch.composite_B3HW, self._pipe, self._pipe.fusion
        noises = (
            background_start(base, pipe.vae, picture, batch.hole_B1HW, normal("background")),
            foreground_start(base, pipe.vae_rgba, picture, batch.kept_B1HW, normal("foreground")),
        )
        sigma_B11 = sigma_B.reshape(-1, 1, 1)
        noisy_background, noisy_foreground = (
            base.mix(clean.float(), noise_, sigma_B11) for clean, noise_ in zip(encoded.clean, noises, strict=True)
        )
        weight_B = foreground_weight(batch.has_foreground_B, self._foreground_share if dropout else 1.0)
        if weight_B is not None:  # Of a foreground that is not known, the network sees what sampling starts from.
            noisy_foreground = torch.where(batch.has_foreground_B.reshape(-1, 1, 1), noisy_foreground, noises[1])
        noisy = (noisy_background, noisy_foreground)
        present = present_maps(fusion, objective.no_maps_share if dropout else None, len(batch), drawn)
        projection = getattr(self._pipe.transformer, base.input_projection)
        with added_columns(projection, 0 if fusion is None else base.token_dim) as figures:
            predictions = module(noisy, encoded, sigma_B, objective.guidance, present)
        extra = objective.hole_weight - 1
        token_weight_BN1 = 1 + extra * base.pack_mask(encoded.generated_B1HW).amax(dim=-1, keepdim=True)
        flow = flow_matching_loss(base, predictions, encoded.clean, noises, sigma_B, token_weight_BN1, weight_B)
        parts: dict[str, Tensor | float | None] = {
            "background": flow.background, "foreground": flow.foreground, **figures
        }  # fmt: skip
        total = flow.total
        if objective.recomposition_weight:
            laid = self._recomposition(encoded, noisy, predictions, sigma_B, weight_B)
            parts["recomposition"] = laid
            total = total + objective.recomposition_weight * laid
        if objective.pixels_weight:
            decoded = self._decoded(encoded, noisy, predictions, sigma_B)
            weight_B1HW = 1 + extra * encoded.generated_B1HW
            pixels = pixels_loss(picture, decoded, encoded.layers, weight_B1HW, weight_B)
            parts["pixels"] = pixels
            total = total + objective.pixels_weight * pixels
        return Losses(total, parts)

    def _recomposition(
        self, encoded: Encoded, noisy: Pair, predictions: Pair, sigma_B: Tensor, foreground_weight_B: Tensor | None
    ) -> Tensor:
        """Loss of the clean estimates; samples that cannot be judged, or are too noisy, are not even decoded."""
        weight_B = low_sigma_weight(sigma_B)
        if foreground_weight_B is not None:
            weight_B = weight_B * foreground_weight_B
        rows = weight_B > 0
        if not rows.any():
            return weight_B.sum()
        noisy_rows, predicted_rows = ((half[0][rows], half[1][rows]) for half in (noisy, predictions))
        layers = self._decoded(encoded, noisy_rows, predicted_rows, sigma_B[rows])
        share = float(rows.float().mean())
        truth = (encoded.layers[0][rows], encoded.layers[1][rows])
        return share * recomposition_loss(encoded.composite_B3HW[rows], layers, truth, weight_B[rows])

    def _decoded(self, encoded: Encoded, noisy: Pair, predictions: Pair, sigma_B: Tensor) -> Pair:
        """Pixels of the layers that predictions imply, with gradients."""
        background, foreground = (
            clean_estimate(self._base, noisy_half, prediction, sigma_B)
            for noisy_half, prediction in zip(noisy, predictions, strict=True)
        )
        pipe = self._pipe
        return decode_layers(self._base, pipe.vae, pipe.vae_rgba, (background, foreground), *encoded.size_px)

    def _encode(self, batch: TripletBatch, seed: int) -> Encoded:
        text = self._text.repeated(len(batch), self._place.device)
        return encode(self._pipe, batch, text, self.config.adapter.foreground_context, seed)

    def _take_text(self) -> Text:
        """The one prompt of training, embedded once; its encoders (10 GB for FLUX.1) are released."""
        pipe = self._pipe
        with torch.no_grad():
            pipe.empty_prompt = text = self._base.embed_text(pipe.components, [""], torch.device("cpu"))
        for name in ("text_encoder", "text_encoder_2"):
            setattr(pipe, name, None)
        return text.repeated(1, self._place.device)

    # ---- judging

    @cached_property
    def _kept_out(self) -> TripletLoader:
        """The scenes that are kept out of training."""
        loading = replace(DataLoading.of(self.config, self._masks, "validation"), num_workers=0)
        return TripletLoader(self._source, loading, self._place.rank, self._place.world_size)

    @cached_property
    def _validation(self) -> list[TripletBatch]:
        """The samples that this process judges by, decoded once: the same ones each time."""
        data, place = self.config.data, self._place
        if not data.num_validation or not data.validation_share:
            return []
        share = max(1, data.num_validation // (self.config.batch.micro_batch * place.world_size))
        return list(islice(self._kept_out.batches(0), share))

    @torch.no_grad()
    def validation_loss(self, modules: Modules) -> float:
        """See `Task.validation_loss`; NaN when the recipe keeps no samples for it."""
        batches = self._validation
        losses = [self._loss(modules[NAME], batch, _VALIDATION_SEED, dropout=False).total for batch in batches]
        return float(torch.stack(losses).mean()) if losses else float("nan")

    @torch.no_grad()
    def samples(self, modules: Modules) -> NDArray[np.uint8]:
        """See `Task.samples`: what the pipeline gives for the first validation samples, beside the truth."""
        batches = self._validation or self.batches(0)
        with self._evaluating() as pipe:  # Its text encoders are gone, so the prompt is given embedded.
            return decomposed_grid(pipe, batches, self._text, self.config.seed, NUM_SHOWN)

    @contextmanager
    def _evaluating(self) -> Iterator[LayerDecompositionPipeline]:
        """The pipeline as a user has it; afterwards its modules train on."""
        model = self.modules[NAME]
        training = model.training
        model.eval()
        yield self._pipe
        model.train(training)

    @torch.no_grad()
    def _calibrate(self) -> dict[str, float]:
        """Set the adapter's alpha levels by the validation samples, if any; returns what they reach, for the card."""
        self._pipe.adapter = replace(self._pipe.adapter, alpha_levels=(0.0, 1.0))
        if self._validation:
            with self._evaluating() as pipe:
                alphas = alphas_at_own_size(pipe, self._kept_out, self._validation, self._text, self.config.seed)
            chosen = choose_alpha_levels(*alphas)
            self._pipe.adapter = replace(self._pipe.adapter, alpha_levels=chosen.levels)
            samples = f"{len(alphas[0])} validation triplets, on which its alpha levels were chosen"
            return {f"soft_iou_whole of the foreground ({samples})": chosen.soft_iou}
        return {}

    def export(self, folder: Path) -> None:
        """See `Task.export`: the published folder, as `LayerDecompositionPipeline.from_pretrained` loads it.

        First every validation sample is decomposed as a user would do it, to calibrate alpha.
        """
        figures = self._calibrate()
        index, names = self._loader.index, self._pipe.adapter.maps
        self._pipe.adapter = replace(
            self._pipe.adapter,
            map_makers={name: index.makers[name] for name in names if name in index.makers},
            map_picture_px=self._loader.scene_px,
        )
        card = replace(
            self._card,
            data_fingerprint=index.fingerprint,
            figures={**self._card.figures, **figures},
            training={**self._card.training, "steps": self.config.schedule.num_steps, "batch": self.config.batch.size},
        )
        with gathered(self._pipe.transformer, self._pipe.fusion):
            if self._place.rank == 0:
                self._pipe.save_pretrained(folder, card)
