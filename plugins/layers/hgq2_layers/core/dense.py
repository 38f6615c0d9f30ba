"""Dense with quantized inputs, kernel, bias and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError, ops
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ActivationArg, PositiveInt
from hgq2_core.ops import Tensor, dot, total
from hgq2_layers.core.affine import AffineLayer

A = TypeVar("A")


class QDense(AffineLayer):
    """y = oq(act(iq(x) @ kq(K) + bq(b))), over the last axis.

    Args:
        units: size of the output's last axis.
        activation: `linear` (None) or `relu`.
        use_bias: whether there is a bias b.
        **kwargs: initializers, regularizers, constraints, quantizers and cost as in `AffineLayer`.

    Cost (docs/numerics.md#7): (sum Bx @ Bk + sum over outputs of Bb) times the part that is computed at once.

    Example:
        >>> layer = QDense(32, activation="relu", kernel_quantizer=KBI(b=5, granularity="channel"))
    """

    fused_kind = "layers.dense_batch_norm"

    units: PositiveInt
    activation: ActivationArg = None
    use_bias: bool = True

    @override
    def has_bias(self) -> bool:
        """Return True if there is a bias."""
        return self.use_bias

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add kernel and bias.

        Args:
            input_shape: `(batch, ..., features)`; the features need a static size.

        Raises:
            ConfigError: the last axis has no static size.
        """
        features = input_shape[-1]
        if features is None or len(input_shape) < 2:
            raise ConfigError(
                f"{self.name}: the last axis of the input, besides the batch, needs a static size. "
                f"Received: {input_shape}."
            )
        self.build_parts(input_shape, (features, self.units), (self.units,) if self.has_bias() else None)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Replace the last axis by the units."""
        return (*input_shape[:-1], self.units)

    @override
    def product(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Multiply over the last axis."""
        return x @ kernel

    @override
    def biased_products(self, x: Tensor, constants: Mapping[str, Tensor], training: bool) -> Tensor:
        """Multiply over the last axis, and add the bias, in one operation where the backend has one."""
        if "bias" in constants:
            return ops.affine(x, constants["kernel"], constants["bias"])
        return super().biased_products(x, constants, training)

    @override
    def product_ebops(self, input_bits: Tensor, kernel_bits: Tensor) -> Tensor:
        """Return sum Bx @ Bk."""
        # Every input feature is multiplied with every unit: a product of sums instead of a sum of products.
        rank = len(input_bits.shape)
        features = input_bits if rank == 1 else total(input_bits, tuple(range(rank - 1)))
        return dot(features, total(kernel_bits, -1))

    @override
    def summed_kernel_axes(self) -> tuple[int, ...]:
        """Return the axis of the features."""
        return (0,)

    @override
    def inputs_on_kernel(self, x: Tensor, combine: Callable[..., Tensor]) -> Tensor:
        """Return the largest of all positions, (features, 1)."""
        return keras.ops.expand_dims(keras.ops.max(x, tuple(range(len(x.shape) - 1))), -1)

    @override
    def bias_on_kernel(self, bias: Tensor) -> Tensor:
        """Return one for each unit."""
        return bias

    @override
    def exact_product(self, arrays: Arrays[A], x: A, kernel: A) -> A:
        return arrays.einsum("...i,io->...o", x, kernel)
