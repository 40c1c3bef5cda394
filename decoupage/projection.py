"""The trained input projection: the base's own, and beside it one for the channels that the base does not know."""

import torch
from torch import Tensor, nn


class TrainedProjection(nn.Module):
    """Input projection `published(x[..., :n]) + added(x[..., n:])`, with `added` zero at first.

    Two products instead of one wide one: adding exact zeros leaves the base's result the same bit for bit, which a
    single wider matrix product does not promise (its sums are grouped otherwise).

    Args:
        published: the base's projection; its weight is trained, its bias (if any) is not.
        input_dim: number of input channels, more than the published ones.

    Attributes:
        original: the base's weight [out, n] before training, from which the change is computed; not saved.
    """

    def __init__(self, published: nn.Linear, input_dim: int) -> None:
        super().__init__()
        if input_dim <= published.in_features:
            raise ValueError(f"the projection takes {published.in_features} channels; {input_dim} leave none to add")
        self.published = published
        options = {"device": published.weight.device, "dtype": published.weight.dtype}
        self.added = nn.Linear(input_dim - published.in_features, published.out_features, bias=False, **options)
        nn.init.zeros_(self.added.weight)
        self.original: Tensor
        self.register_buffer("original", published.weight.detach().clone(), persistent=False)

    @property
    def in_features(self) -> int:
        """Number of input channels."""
        return self.published.in_features + self.added.in_features

    @property
    def weight(self) -> Tensor:
        """Both weights side by side, [out, in], as one projection would hold them."""
        return self._beside(self.published.weight)

    @property
    def change(self) -> Tensor:
        """The weight minus the base's, [out, in]; the base's counts as zero in the new columns."""
        return self._beside(self.published.weight - self.original)

    def forward(self, x: Tensor) -> Tensor:
        """Project [..., in] to [..., out]."""
        known, new = x.split([self.published.in_features, self.added.in_features], dim=-1)
        # A strided input may take another matrix kernel; contiguous, it takes the base's.
        return self.published(known.contiguous()) + self.added(new.contiguous())

    def _beside(self, known: Tensor) -> Tensor:
        return torch.cat([known, self.added.weight], dim=1)
