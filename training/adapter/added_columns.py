"""Figures on the projection's added columns, which start at zero: how far they have moved, and what maps contribute."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from decoupage.projection import TrainedProjection
from decoupage.sequences import HALVES


@contextmanager
def added_columns(projection: TrainedProjection, fused_dim: int) -> Iterator[dict[str, Tensor]]:
    """Context in which the projection's calls are measured; at its end it has filled the dictionary that it gives.

    The measurement runs inside the calls, where weights that processes share out are gathered: no rank waits for
    another.

    Args:
        fused_dim: channels of the fused context, the last ones of a token; 0 = none.

    Figures:
        added_weight_rms_halves, added_weight_rms_fused: root mean square of the columns of the indicators, and of those
            of the fused context. For comparison: Adam moves a number by up to the learning rate a step.
        fused_share: norm of what the fused context adds to the projection's output, over the norm of what the base's
            own columns give, over all tokens of the calls.
    """
    figures: dict[str, Tensor] = {}
    squares = {"known": torch.zeros(()), "fused": torch.zeros(())}

    def note_known(module: nn.Module, inputs: Any, output: Tensor) -> None:
        squares["known"] = squares["known"] + output.detach().float().square().sum()

    @torch.no_grad()
    def note_added(module: nn.Linear, inputs: tuple[Tensor], output: Tensor) -> None:
        columns = module.weight.detach()
        end = columns.shape[1] - fused_dim
        figures["added_weight_rms_halves"] = _rms(columns[:, end - len(HALVES) : end])
        if fused_dim:
            figures["added_weight_rms_fused"] = _rms(columns[:, end:])
            part = nn.functional.linear(inputs[0][..., end:], columns[:, end:])
            squares["fused"] = squares["fused"] + part.float().square().sum()

    with ExitStack() as hooks:
        for layer, note in ((projection.published, note_known), (projection.added, note_added)):
            hooks.callback(layer.register_forward_hook(note).remove)
        yield figures
    if fused_dim:
        figures["fused_share"] = (squares["fused"] / squares["known"]).sqrt()


def _rms(values: Tensor) -> Tensor:
    return values.float().square().mean().sqrt()
