"""A product whose outputs are normalized, folded into one kernel and one bias."""

from __future__ import annotations

from typing import Any

from hgq2_layers.affine import AffineKwargs, AffineLayer
from hgq2_layers.normalization import NormalizationKwargs, NormalizationLayer

Tensor = Any


class AffineBatchNormKwargs(AffineKwargs, NormalizationKwargs, total=False):
    """The arguments that the layers of this family share, for their signatures."""


class AffineBatchNorm(NormalizationLayer, AffineLayer):
    """y = oq(act(product(iq(x), kq(s * K)) + bq(beta - mean * s))); statistics of product(iq(x), K).

    A mixin in front of the affine layer that says which product.
    """

    # Normalization takes every bias away again; beta is in its place.
    not_in_schema = ("bias_initializer", "bias_regularizer", "bias_constraint")

    def has_bias(self) -> bool:
        """There is one always: what is left of the mean."""
        return True

    def normalized(self, x: Tensor) -> Tensor:
        """Give the product."""
        return self.product(x, self.kernel)

    def scaled_kernel(self, s: Tensor) -> Tensor:
        """Give s * K."""
        return self.kernel * s

    def spread(self, statistics: Tensor) -> Tensor:
        """Give statistics the shape in which they are added to the outputs."""
        return statistics

    def fold(self, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
        """Give the kernel and the bias for these statistics."""
        s = self.factors(variance)
        shift = self.spread(mean * s)
        return {"kernel": self.scaled_kernel(s), "bias": -shift if self.beta is None else self.beta - shift}
