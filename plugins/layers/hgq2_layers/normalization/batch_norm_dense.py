"""Dense whose inputs are normalized, with one folded kernel and bias."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ActivationArg, PositiveInt
from hgq2_core.layers.transfer import shared_arguments
from hgq2_core.ops import Tensor
from hgq2_layers.core.dense import QDense
from hgq2_layers.normalization.batch_statistics import NormalizationLayer

A = TypeVar("A")


class QBatchNormDense(NormalizationLayer, QDense):
    """y = oq(act(iq(x) @ kq(s * K) + bq(b - mean @ (s * K)))), over the last axis; statistics of iq(x).

    Normalization without an offset of its own: b is in its place.

    Args:
        units: size of the output's last axis.
        activation: `linear` (None) or `relu`.
        use_bias: whether there is a b; without it the mean's part is left.
        **kwargs: of kernel and bias, the quantizers and the normalization, as in `AffineLayer` and
            `NormalizationLayer`.

    Cost (docs/numerics.md#7): (sum Bx @ Bk + sum over outputs of Bb) times the part that is computed at once.

    Example:
        >>> layer = QBatchNormDense(32, activation="relu")
    """

    not_in_schema = ("center", "beta_initializer", "beta_regularizer", "beta_constraint")
    fuses = "keras.Dense"

    units: PositiveInt
    activation: ActivationArg = None
    use_bias: bool = True
    _: KW_ONLY
    center: bool = False

    @classmethod
    @override
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> QBatchNormDense:
        """Make it of a Keras normalization of the last axis and the Dense that directly follows.

        Raises:
            ConfigError: other layers, another axis, or arguments that are lost.
        """
        rank = len(layer.input.shape)
        if not successor or getattr(layer, "axis", None) not in (-1, rank - 1):
            raise ConfigError(
                f"{layer.name}: {cls.__name__} stands for a BatchNormalization of the last axis and the Dense right "
                f"behind that alone takes its output. Received: a {type(layer).__name__}, behind: "
                f"{', '.join(each.name for each in successor) or 'none'}."
            )
        (dense,) = successor
        of_norm = {**shared_arguments(layer, cls, ("axis", "center")), "use_bias": dense.use_bias or layer.center}
        return cls(**{**shared_arguments(dense, cls, ("name", "dtype", "use_bias")), **of_norm, **arguments})

    @override
    def exact(self, arrays: Arrays[A], *inputs: A, mask: A | None = None) -> A:
        """State the equation above in integers, in which a mask has no part."""
        return super().exact(arrays, *inputs)

    @override
    def take_weights(self, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> None:
        """Take over the normalization and the kernel; beta goes into the bias."""
        (dense,) = successor
        for name in ("gamma", "moving_mean", "moving_variance"):
            if getattr(layer, name) is not None:
                getattr(self, name).assign(keras.ops.convert_to_numpy(getattr(layer, name)).copy())
        self.kernel.assign(keras.ops.convert_to_numpy(dense.kernel).copy())
        if self.bias is not None:
            beta = 0.0 if layer.beta is None else keras.ops.matmul(layer.beta, dense.kernel)
            self.bias.assign(beta + (0.0 if dense.bias is None else dense.bias))

    @override
    def has_bias(self) -> bool:
        """There is one always: what is left of the mean."""
        return True

    @override
    def add_bias(self, shape: tuple[int, ...]) -> None:
        """Add the bias, and what normalizes each feature."""
        if self.use_bias:
            super().add_bias(shape)
        rank = self.input_spec.ndim
        self.add_normalization((self.input_spec.axes[rank - 1],), range(rank - 1))

    @override
    def fold(self, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
        """Return the kernel and the bias for these statistics."""
        kernel = self.kernel * keras.ops.expand_dims(self.factors(variance), -1)
        shift = keras.ops.matmul(mean, kernel)
        bias = -shift if self.bias is None else self.bias - shift
        return self.within_accumulator({"kernel": kernel, "bias": bias})
