"""The hard sigmoid: a table, or with a dyadic slope gates."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Annotated, TypeVar

import keras
import numpy as np
from pydantic import AfterValidator, Field
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor, total
from hgq2_layers.activations.elementwise import ElementwiseArg
from hgq2_layers.activations.lookup_table import TableLayer
from hgq2_layers.activations.unary_function import QUnaryFunction
from hgq2_layers.merging.elementwise import ADDER

A = TypeVar("A")


def _in_float32(value: float) -> float:
    if float(np.float32(value)) != value:
        raise ValueError(f"slope is a sum of few powers of two, such as {2.0 ** round(np.log2(value))}")
    return value


Slope = Annotated[float, Field(gt=0, le=1), AfterValidator(_in_float32)]


class QHardSigmoid(QUnaryFunction):
    """y = oq(f(iq(x))), f(x) = x / 6 + 1/2 between 0 and 1: a table, as no format holds a sixth.

    With a slope a, f(x) = a x + 1/2 between 0 and 1 is shifts and adders, without a table.

    Args:
        slope: a, a number that float32 holds, from above 0 up to 1; None for Keras' sixth.
        table_quantizer: oq: a config, a kind, a mapping, or None for the default of tables; with a slope it is a
            quantizer of activations, and None leaves the outputs unchanged.
        **kwargs: quantizers as in `QUnaryFunction`.

    Cost (docs/numerics.md#10): that of the table; with a slope, 0.65 times its nonzero signed digits times sum Bx.
    """

    not_in_schema = ("activation",)

    activation: ElementwiseArg = "hard_sigmoid"
    _: KW_ONLY
    slope: Slope | None = None

    @override
    def setup(self) -> None:
        """Make the quantizers, and without a slope the table."""
        if self.slope is None:
            super().setup()
            return
        TableLayer.setup(self)
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        if self.table_quantizer is not None:
            self.table_quantizer = self.add_quantizer(self.table_quantizer, "activation", "table")

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included.
        """
        if self.slope is None:
            super().build(input_shape)
            return
        self.input_quantizer.build(tuple(input_shape))
        if self.table_quantizer is not None:
            self.table_quantizer.build(tuple(input_shape))
        self.built = True

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if self.slope is None:
            return super().call(inputs, training)
        z = self.slope * self.input_quantizer.quantize(inputs, bool(training)) + 0.5
        # Not `clip`: at the ends the gradient is that of the inside, on every backend.
        y = keras.ops.where(z > 1.0, 1.0, keras.ops.where(z < 0.0, 0.0, z))
        return y if self.table_quantizer is None else self.table_quantizer.quantize(y, bool(training))

    @override
    def ebops(self) -> Tensor:
        """Return the table's, or the adders'."""
        if self.slope is None:
            return super().ebops()
        return ADDER * signed_digits(self.slope) * total(self.input_quantizer.bits())

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        """Look up the quantized input, or state the line between its ends."""
        if self.slope is None:
            return super().exact(arrays, *inputs)
        (x,) = inputs
        scaled = arrays.multiply(self.input_quantizer.exact(arrays, x), arrays.constant(self.slope))
        z = arrays.add(scaled, arrays.constant(0.5))
        y: A = arrays.minimum(arrays.maximum(z, arrays.constant(0.0)), arrays.constant(1.0))
        return y if self.table_quantizer is None else self.table_quantizer.exact(arrays, y)


def signed_digits(value: float) -> int:
    """Return the number of nonzero digits of a number, of which each is 1 or -1 and no two are neighbors."""
    numerator = value.as_integer_ratio()[0]
    return (numerator ^ (3 * numerator)).bit_count()
