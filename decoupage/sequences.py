"""The network's call for both halves: in one sequence (`joint`), or each as a sample of its own (`batch`).

In `joint` every token attends to both pictures; in `batch` the background is, before training, exactly the base's own.

Channels of a token: noisy latents | context | one indicator for each half, 1 in its own tokens and 0 in the other's |
fused context, where maps are fused. Deep in a region that is to be generated, nothing but the indicators says in both
modes whether a background or a foreground is wanted there.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from decoupage.bases.spec import Base, Text
from decoupage.contexts import Contexts

Mode = Literal["joint", "batch"]
HALVES = ("background", "foreground")
"""The halves of a sequence, in the order of their tokens and of their indicators."""


@dataclass(frozen=True)
class Condition:
    """The network's inputs that stay the same over all steps.

    Attributes:
        contexts: context tokens of both halves.
        fused_BND: fused maps [B, N, token_dim], for both halves; None = the model takes none.
        text: embedding of the prompt.
        grid: (rows, columns) of tokens.
    """

    contexts: Contexts
    fused_BND: Tensor | None
    text: Text
    grid: tuple[int, int]


def predict_layers(
    base: Base,
    network: nn.Module,
    noisy_background_BND: Tensor,
    noisy_foreground_BND: Tensor,
    condition: Condition,
    sigma_B: Tensor,
    guidance: float,
    mode: Mode,
) -> tuple[Tensor, Tensor]:
    """The network's predictions for background and foreground, [B, N, token_dim] each."""
    contexts = condition.contexts
    background = _tokens("background", noisy_background_BND, contexts.background_BNK, condition.fused_BND)
    foreground = _tokens("foreground", noisy_foreground_BND, contexts.foreground_BNK, condition.fused_BND)
    ids = {layer: base.ids(layer, *condition.grid).to(background.device) for layer in base.layers}
    extra = [] if contexts.picture_BND is None else [_padded(contexts.picture_BND, background.shape[-1])]
    extra_ids = [ids["picture"]] if extra else []
    num_tokens = background.shape[1]
    if mode == "joint":
        tokens = torch.cat([background, foreground, *extra], dim=1)
        all_ids = torch.cat([ids["background"], ids["foreground"], *extra_ids])
        out = base.predict(network, tokens, all_ids, condition.text, sigma_B, guidance)
        return out[:, :num_tokens], out[:, num_tokens : 2 * num_tokens]
    # Both halves have the ids of the base's one picture; their contexts and indicators distinguish them. One call each:
    # a batch of two takes other matrix kernels than a batch of one, and the background would differ in its last bits.
    all_ids = torch.cat([ids["background"], *extra_ids])
    outs = [
        base.predict(network, torch.cat([half, *extra], dim=1), all_ids, condition.text, sigma_B, guidance)
        for half in (background, foreground)
    ]
    return outs[0][:, :num_tokens], outs[1][:, :num_tokens]


def _tokens(half: str, noisy_BND: Tensor, context_BNK: Tensor, fused_BND: Tensor | None) -> Tensor:
    """Tokens of a half with their context, indicators and fused context beside them, along channels."""
    indicators_BN2 = noisy_BND.new_zeros(*noisy_BND.shape[:2], len(HALVES))
    indicators_BN2[..., HALVES.index(half)] = 1
    parts = [noisy_BND, context_BNK, indicators_BN2, *([] if fused_BND is None else [fused_BND])]
    return torch.cat([part.to(noisy_BND.dtype) for part in parts], dim=-1)


def _padded(tokens_BND: Tensor, width: int) -> Tensor:
    """Tokens of neither half, without mask and maps, padded by zeros to the width of the halves' tokens."""
    return nn.functional.pad(tokens_BND, (0, width - tokens_BND.shape[-1]))
