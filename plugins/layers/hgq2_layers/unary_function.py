"""Functions of one number as lookup tables."""

from __future__ import annotations

from typing import Any, TypeVar, Unpack

from hgq2_core.arguments import LayerKwargs, QuantizerArg
from hgq2_core.exact.arrays import Arrays
from hgq2_layers.elementwise import ELEMENTWISE, ElementwiseArg
from hgq2_layers.lookup_table import TableLayer

A = TypeVar("A")
Tensor = Any


class QUnaryFunction(TableLayer):
    """y = oq(f(iq(x))): a finite lookup table of the quantized input.

    Args:
        activation: f, one of Keras' activations by name, or a function of one number that is registered with Keras.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        table_quantizer: likewise, of the table's entries; None for the default of tables.

    Cost (NUMERICS 7): 1e-4 times the sum of 2^Bx Bt.

    Example:
        >>> layer = QUnaryFunction("tanh", input_quantizer=KIF(i=2, f=5))
    """

    def __init__(
        self,
        activation: ElementwiseArg,
        input_quantizer: QuantizerArg = None,
        table_quantizer: QuantizerArg = None,
        **kwargs: Unpack[LayerKwargs],
    ) -> None:
        super().__init__(**kwargs)
        self.activation = ELEMENTWISE.resolve(activation)
        self.input_quantizer = self.add_quantizer(input_quantizer, "activation", "input")
        self.table = self.add_table(table_quantizer, "table", self.input_quantizer, self.activation)
        self.table_quantizer = self.table.quantizer

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included.
        """
        self.input_quantizer.build(tuple(input_shape))
        self.table.build()
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Give the shape of the input."""
        return tuple(input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Compute the equation above, or look it up."""
        training = bool(training)
        return self.table(self.input_quantizer.quantize(inputs, training), training)

    def ebops(self) -> Tensor:
        """Give the table's."""
        return self.table.ebops()

    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        """Look up the quantized input."""
        (x,) = inputs
        return self.table.exact(arrays, self.input_quantizer.exact(arrays, x))
