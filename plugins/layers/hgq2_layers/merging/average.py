"""Average with quantized inputs."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.transfer import shared_arguments
from hgq2_core.ops import Tensor, total
from hgq2_layers.core.reciprocal import ReciprocalLayer, with_reciprocal
from hgq2_layers.merging.elementwise import QAdd, Shape, broadcast_bits

A = TypeVar("A")


class QAverage(ReciprocalLayer, QAdd):
    """y = oq((iq_0(x_0) + iq_1(x_1) + ...) / n), n the number of inputs.

    Where n is a power of two, the division is a shift. Elsewhere the sum is multiplied by 2^p / n, between 1/2 and 1,
    which is quantized as a weight, and shifted by p.

    Args:
        reciprocal_quantizer: a config, a kind, or a mapping; None where n is a power of two.
        **kwargs: quantizers as in `MergeLayer`; Keras' own arguments.

    Cost (docs/numerics.md#7): that of the sum; with a reciprocal, plus the products of its bits and those of the sum,
    max B + log2 n.
    """

    @classmethod
    @override
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> QAverage:
        """Take over the arguments; a reciprocal gets the default of weights."""
        given = {**shared_arguments(layer, cls), **arguments}
        return cls(**with_reciprocal(given, np.array(len(keras.tree.flatten(layer.input)))))

    @override
    def build(self, input_shape: Sequence[Shape]) -> None:
        """Build the quantizers.

        Args:
            input_shape: one shape for each input, batch axis included.

        Raises:
            ConfigError: another number of inputs than a power of two, without `reciprocal_quantizer`.
        """
        self.build_reciprocal(np.array(len(input_shape)), "inputs", "a power of two of inputs")
        super().build(input_shape)

    @override
    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return self.divided(super().merge(inputs), self.constants().get("reciprocal"))

    @override
    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        """Add, multiply where n is no power of two, and shift."""
        return self.exact_divided(arrays, super().exact_merge(arrays, inputs))

    @override
    def merge_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        """Return the bits of the adders, and of the product."""
        cost = super().merge_ebops(bits)
        if not self.multiplies:
            return cost
        sums = functools.reduce(keras.ops.maximum, broadcast_bits(bits)) + math.log2(len(bits))
        return cost + total(sums) * total(self.weight_bits()["reciprocal"])
