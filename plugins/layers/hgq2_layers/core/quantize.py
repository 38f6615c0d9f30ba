"""A quantizer as a layer."""

from __future__ import annotations

import functools
from typing import TypeVar

import keras
from typing_extensions import override

from hgq2_core import QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.ops import Tensor

A = TypeVar("A")


class QQuantize(QLayer):
    """y = q(x).

    Args:
        quantizer: a config, a kind, a mapping, or None for the default of activations.
        **kwargs: Keras' own arguments.

    Cost (docs/numerics.md#10): none; the layers that take its outputs pay by their bits. A mask passes.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), QQuantize("kif"), QDense(4)])
    """

    quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.quantizer = self.add_quantizer(self.quantizer, "activation", "value")
        if hasattr(self.quantizer, "input_bits"):
            self.quantizer.input_bits = functools.partial(self._input_bits, 0)

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the quantizer.

        Args:
            input_shape: batch axis included.
        """
        shape = tuple(input_shape)
        static = {axis: size for axis, size in enumerate(shape) if axis and size is not None}
        self.input_spec = keras.layers.InputSpec(ndim=len(shape), axes=static)
        self.quantizer.build(shape)
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return tuple(input_shape)

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        outputs: Tensor = self.quantizer.quantize(inputs, bool(training))
        return outputs

    @override
    def ebops(self) -> Tensor:
        return keras.ops.zeros(())

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        (x,) = inputs
        outputs: A = self.quantizer.exact(arrays, x)
        return outputs
