"""The trained input projection: the base's own, and beside it one for the channels that it does not know."""

import torch
from torch import Tensor, nn


class TrainedProjection(nn.Module):
    """`published(x[..., :n]) + added(x[..., n:])`, with `added` zero at first.

    Two products instead of one wide one: adding exact zeros leaves the base's result as it is, bit for bit, which a
    single wider matrix product does not promise (its sums are grouped otherwise).

    Args:
        published: the base's projection; its weight is trained, its bias (if any) is not.
        input_dim: channels to take; equal to the published ones when there is nothing to add.

    Attributes:
        original: the base's weight [out, n] as it was, to tell what training changed; not saved.
    """

    def __init__(self, published: nn.Linear, input_dim: int) -> None:
        super().__init__()
        if input_dim < published.in_features:
            raise ValueError(f"the projection takes {published.in_features} channels, which is more than {input_dim}")
        self.published = published
        self.added: nn.Linear | None = None
        if input_dim > published.in_features:
            options = {"device": published.weight.device, "dtype": published.weight.dtype}
            self.added = nn.Linear(input_dim - published.in_features, published.out_features, bias=False, **options)
            nn.init.zeros_(self.added.weight)
        self.original: Tensor
        self.register_buffer("original", published.weight.detach().clone(), persistent=False)

    @property
    def in_features(self) -> int:
        """Channels it takes."""
        return self.published.in_features + (self.added.in_features if self.added else 0)

    @property
    def weight(self) -> Tensor:
        """[out, in]: both weights side by side, as one projection would hold them."""
        return self._beside(self.published.weight)

    @property
    def change(self) -> Tensor:
        """[out, in]: the weight minus the base's, which has zeros in the new columns."""
        return self._beside(self.published.weight - self.original)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        if self.added is None:
            return self.published(x)
        known, new = x.split([self.published.in_features, self.added.in_features], dim=-1)
        # A strided input may take another matrix kernel; contiguous, it takes the base's.
        return self.published(known.contiguous()) + self.added(new.contiguous())

    def _beside(self, known: Tensor) -> Tensor:
        return known if self.added is None else torch.cat([known, self.added.weight], dim=1)
