"""Average with quantized inputs."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import keras

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.layers.transfer import shared_arguments
from hgq2_core.ops import Tensor, total
from hgq2_core.quantizers.defaults import resolve
from hgq2_layers.merging.elementwise import QAdd, Shape, broadcast_bits

A = TypeVar("A")


class QAverage(QAdd):
    """y = oq((iq_0(x_0) + iq_1(x_1) + ...) / n), n the number of inputs.

    Where n is a power of two, the division is a shift. Elsewhere the sum is multiplied by 2^p / n, between 1/2 and 1,
    which is quantized as a weight, and shifted by p.

    Args:
        reciprocal_quantizer: a config, a kind, or a mapping; None where n is a power of two.
        **kwargs: quantizers as in `MergeLayer`; Keras' own arguments.

    Cost (docs/numerics.md#7): that of the sum; with a reciprocal, plus the products of its bits and those of the sum,
    max B + log2 n.
    """

    reciprocal_quantizer: QuantizerArg = None

    def setup(self) -> None:
        """Make the quantizers."""
        super().setup()
        if self.reciprocal_quantizer is not None:
            self.reciprocal_quantizer = self.add_quantizer(self.reciprocal_quantizer, "weight", "reciprocal")

    @classmethod
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> QAverage:
        """Take over the arguments; a reciprocal gets the default of weights."""
        given = {**shared_arguments(layer, cls), **arguments}
        count = len(keras.tree.flatten(layer.input))
        if "reciprocal_quantizer" not in given and count & (count - 1):
            given["reciprocal_quantizer"] = resolve(None, "weight").config
        return cls(**given)

    def build(self, input_shape: Sequence[Shape]) -> None:
        """Build the quantizers.

        Args:
            input_shape: one shape for each input, batch axis included.

        Raises:
            ConfigError: another number of inputs than a power of two, without `reciprocal_quantizer`.
        """
        self._mantissa, self._exponent = math.frexp(1.0 / len(input_shape))
        if self.multiplies and self.reciprocal_quantizer is None:
            raise ConfigError(
                f"{self.name}: an average of {len(input_shape)} inputs is exact once its reciprocal is quantized. "
                "Received: reciprocal_quantizer=None. Allowed: a quantizer of weights, such as 'kbi', or a power of "
                "two of inputs."
            )
        if self.reciprocal_quantizer is not None:
            self.reciprocal_quantizer.build(())
            if not self.multiplies:
                self.reciprocal_quantizer.trainable = False
        super().build(input_shape)

    @property
    def multiplies(self) -> bool:
        """Whether sums are multiplied by a reciprocal; for a power of two of inputs, they are only shifted."""
        return self._mantissa != 0.5

    def folded(self) -> dict[str, Tensor]:
        """Return the reciprocal, if there is one."""
        return (
            {"reciprocal": keras.ops.convert_to_tensor(self._mantissa, self.compute_dtype)} if self.multiplies else {}
        )

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        """Add, and scale."""
        sums = super().merge(inputs)
        if self.multiplies:
            return sums * self.constants()["reciprocal"] * 2.0**self._exponent
        return sums * 2.0 ** (self._exponent - 1)

    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        """Add, multiply where n is no power of two, and shift."""
        sums = super().exact_merge(arrays, inputs)
        if self.multiplies:
            return arrays.shift(arrays.multiply(sums, self.constant(arrays, "reciprocal")), self._exponent)
        return arrays.shift(sums, self._exponent - 1)

    def merge_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        """Return the bits of the adders, and of the product."""
        cost = super().merge_ebops(bits)
        if not self.multiplies:
            return cost
        sums = functools.reduce(keras.ops.maximum, broadcast_bits(bits)) + math.log2(len(bits))
        return cost + total(sums) * total(self.weight_bits()["reciprocal"])
