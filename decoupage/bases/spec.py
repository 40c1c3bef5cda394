"""The interface of an inpainting model that can be adapted.

A base describes a model; it holds no weights. Adding one takes one class (docs/model.md says what each member means,
and what SDXL-inpainting and FLUX.2 would fill in).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from decoupage.weights.hub import is_folder, split_revision
from decoupage.weights.models import DiffusersModel

ContextKind = Literal["channel", "sequence"]
Start = Literal["noise", "filling"]
Components = Mapping[str, Any]
"""Models, tokenizers and scheduler of a base by the names diffusers gives them (`transformer`, `vae`, ...)."""


@dataclass(frozen=True)
class Text:
    """A prompt as the base's network takes it: tokens [B, L, D], a pooled vector [B, P], and position ids [L, A]."""

    tokens_BLD: Tensor
    pooled_BP: Tensor
    ids_LA: Tensor

    def repeated(self, number: int, device: torch.device, dtype: torch.dtype | None = None) -> "Text":
        """The embedding of one prompt, repeated for a number of pictures, on a device; dtype None = as it is."""
        tokens, pooled = (tensor.to(device, dtype) for tensor in (self.tokens_BLD, self.pooled_BP))
        return Text(tokens.expand(number, -1, -1), pooled.expand(number, -1), self.ids_LA.to(device))


@dataclass(frozen=True)
class Sampling:
    """How a base's publisher samples it.

    Attributes:
        num_steps: calls of the network for a picture.
        guidance: embedded guidance scale.
        size_px: side of the square with as many pixels as it works on.
        source: where the publisher says so.
    """

    num_steps: int
    guidance: float
    size_px: int
    source: str


class Base(ABC):
    """An inpainting (or editing) model. Shapes: B batch, N tokens of one picture, H x W its pixels.

    Attributes:
        name: name of the base in profiles, adapters and commands.
        repo_id: where its weights are published; licence: their licence.
        stands_in_for: name of the model that it replaces, where it is a stand-in.
        packaged: folder of weights that come with this package; None = they must be fetched.
        pipeline_class: the diffusers pipeline whose file formats the base has: its components, and LoRA files for its
            network.
        context: `channel` = the masked picture's tokens are concatenated to the noisy ones along channels;
            `sequence` = they are tokens of their own, beside the noisy ones.
        network: the component that is adapted; input_projection: its first layer, by attribute name.
        token_dim: channels of a noisy token; mask_dim: channels of a packed mask.
        projection_dim: channels that the published input projection takes.
        text_tokens: length of every prompt's embedding.
        text_parts: components that only prompts need; empty = it knows no text.
        large_text_parts: those of them that are worth quantising.
        pixel_multiple: height and width must be multiples of this.
        lora_targets: regular expression over module names: every attention and feed-forward layer.
        layers: position of each picture on the layer axis of the ids: background, foreground, and the picture
            itself where it is given in sequence.
        sampling: how its publisher samples it, without any adapter.
        starts_from: what is at noise level 1: `noise`, or a first guess that the network corrects (`decoupage.starts`).
    """

    name: ClassVar[str]
    repo_id: ClassVar[str]
    licence: ClassVar[str]
    packaged: ClassVar[Path | None] = None
    stands_in_for: ClassVar[str] = ""
    pipeline_class: ClassVar[type[DiffusionPipeline]]
    context: ClassVar[ContextKind]
    network: ClassVar[str] = "transformer"
    input_projection: ClassVar[str]
    token_dim: ClassVar[int]
    mask_dim: ClassVar[int]
    projection_dim: ClassVar[int]
    text_tokens: ClassVar[int]
    text_parts: ClassVar[tuple[str, ...]] = ()
    large_text_parts: ClassVar[tuple[str, ...]] = ()
    pixel_multiple: ClassVar[int]
    lora_targets: ClassVar[str]
    layers: ClassVar[Mapping[str, int]]
    sampling: ClassVar[Sampling]
    starts_from: ClassVar[Start] = "noise"

    @property
    def as_published(self) -> "Base":
        """The form in which the published network takes its picture; another one where adapting changes that."""
        return self

    @property
    def context_dim(self) -> int:
        """Channels that a context adds to a noisy token: the packed mask, and with `channel` the masked picture."""
        return self.mask_dim + (self.token_dim if self.context == "channel" else 0)

    def grid(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Number of (rows, columns) of tokens for a picture's size."""
        return height_px // self.pixel_multiple, width_px // self.pixel_multiple

    # ---- weights

    def weights(self, source: str | None = None, text: bool = True) -> DiffusersModel:
        """The files that `load(source)` reads: of a folder, else of a Hub repository (`owner/name@revision`).

        Args:
            source: None = the packaged weights, or those that `repo_id` publishes.
            text: whether the components that embed prompts are among them.
        """
        if source is None and self.packaged is not None:
            source = str(self.packaged)
        repo_id, revision = split_revision(source or self.repo_id)
        return DiffusersModel(
            repo_id=repo_id,
            network=self.network,
            revision=revision,
            folder=source if source and is_folder(source) else "",
            consent=self.licence if "Non-Commercial" in self.licence else "",
            unlisted=(self.network, "vae", "scheduler"),
            left_out=() if text else self.text_parts,
        )

    @abstractmethod
    def load(self, source: str | None = None, **options: Any) -> Components:
        """All components from a folder in diffusers' layout or a hub id, with a revision or without (None = `repo_id`).

        Args:
            options: passed to diffusers' `from_pretrained` (`dtype`, `variant`, ...); a component's name with None
                leaves it out.
        """

    def load_text(self, source: str | None = None, **options: Any) -> Components:
        """Only the components that embed prompts, as `load` gives them."""
        others = dict.fromkeys((self.network, "vae", "scheduler"))
        components = self.load(source, **others, **options)
        return {name: components[name] for name in self.text_parts}

    # ---- pictures and tokens

    @abstractmethod
    def encode(self, vae: nn.Module, picture_BCHW: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Normalised latents [B, C, h, w] of pictures in [-1, 1]."""

    @abstractmethod
    def encode_mode(self, vae: nn.Module, picture_BCHW: Tensor) -> Tensor:
        """As `encode`, without a random draw: for maps, which must take nothing from the noise's generator."""

    @abstractmethod
    def decode(self, vae: nn.Module, latents_BCHW: Tensor) -> Tensor:
        """Pictures in about [-1, 1] from normalised latents."""

    @abstractmethod
    def pack(self, latents_BCHW: Tensor) -> Tensor:
        """Tokens [B, N, token_dim] from latents [B, C, h, w]."""

    @abstractmethod
    def unpack(self, tokens_BND: Tensor, height_px: int, width_px: int) -> Tensor:
        """Latents [B, C, h, w] from tokens [B, N, token_dim]."""

    @abstractmethod
    def pack_mask(self, mask_B1HW: Tensor) -> Tensor:
        """Tokens [B, N, mask_dim] from a mask at pixel resolution, without loss."""

    @abstractmethod
    def ids(self, layer: str, rows: int, columns: int) -> Tensor:
        """Position ids [N, A] of a picture's tokens; `layer` is a key of `layers`."""

    # ---- text, time, noise

    @abstractmethod
    def embed_text(self, components: Components, prompts: Sequence[str], device: torch.device) -> Text:
        """Embeddings of the prompts, as the network takes them."""

    @abstractmethod
    def shift(self, scheduler: Any, num_tokens: int) -> float:
        """`mu` of the timestep shift for a picture of so many tokens; sigma' = e^mu s / (1 + (e^mu - 1) s)."""

    @abstractmethod
    def set_timesteps(self, scheduler: Any, num_steps: int, num_tokens: int, device: torch.device) -> Tensor:
        """Prepare the scheduler for sampling; returns its timesteps."""

    def mix(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Noisy tokens at noise level sigma in [0, 1]: the straight path of flow matching."""
        return (1 - sigma) * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """The network's target at noise level sigma: the velocity of the straight path."""
        return noise - clean

    @abstractmethod
    def predict(
        self,
        network: nn.Module,
        tokens_BSD: Tensor,
        ids_SA: Tensor,
        text: Text,
        sigma_B: Tensor,
        guidance: float,
    ) -> Tensor:
        """One call of the network over a whole sequence: [B, S, token_dim].

        Args:
            tokens_BSD: S tokens of all pictures in the sequence, with their contexts.
            sigma_B: noise level of each sample, in [0, 1].
            guidance: embedded guidance scale, for networks that were distilled with it.
        """
