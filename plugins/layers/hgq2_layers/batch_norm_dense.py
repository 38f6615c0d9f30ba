"""Dense whose inputs are normalized, with one folded kernel and bias."""

from __future__ import annotations

from typing import Any, Unpack

import keras

from hgq2_core.arguments import ActivationArg, PositiveInt
from hgq2_layers.affine_batch_norm import AffineBatchNormKwargs
from hgq2_layers.dense import QDense
from hgq2_layers.normalization import NormalizationLayer

Tensor = Any


class QBatchNormDense(NormalizationLayer, QDense):
    """y = oq(act(iq(x) @ kq(s * K) + bq(b - mean @ (s * K)))), over the last axis; statistics of iq(x).

    Normalization without an offset of its own: b is in its place.

    Args:
        units: size of the output's last axis.
        activation: `linear` (None) or `relu`.
        use_bias: whether there is a b; without it the mean's part is left.
        **kwargs: of kernel and bias, the quantizers and the normalization, as in `AffineLayer` and
            `NormalizationLayer`.

    Cost (NUMERICS 7): sum Bx @ Bk + sum over outputs of Bb.

    Example:
        >>> layer = QBatchNormDense(32, activation="relu")
    """

    not_in_schema = ("center", "beta_initializer", "beta_regularizer", "beta_constraint")

    def __init__(
        self,
        units: PositiveInt,
        activation: ActivationArg = None,
        use_bias: bool = True,
        **kwargs: Unpack[AffineBatchNormKwargs],
    ) -> None:
        super().__init__(units=units, activation=activation, use_bias=use_bias, center=False, **kwargs)

    def has_bias(self) -> bool:
        """There is one always: what is left of the mean."""
        return True

    def add_bias(self, shape: tuple[int, ...]) -> None:
        """Add the bias, and what normalizes each feature."""
        if self.use_bias:
            super().add_bias(shape)
        rank = self.input_spec.ndim
        self.add_normalization((self.input_spec.axes[rank - 1],), range(rank - 1))

    def fold(self, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
        """Give the kernel and the bias for these statistics."""
        kernel = self.kernel * keras.ops.expand_dims(self.factors(variance), -1)
        shift = keras.ops.matmul(mean, kernel)
        return {"kernel": kernel, "bias": -shift if self.bias is None else self.bias - shift}
