"""Functions of one number as lookup tables."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ConstraintArg, InitializerArg, QuantizerArg, RegularizerArg
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.defaults import adapted
from hgq2_layers.activations.elementwise import ElementwiseArg, never_negative
from hgq2_layers.activations.functions import OF_POSITIVE, STEEP, of_operation
from hgq2_layers.activations.lookup_table import TableLayer, fitted_table

A = TypeVar("A")

INDEX_BITS = 12
"""Of the inputs of a root or a logarithm, by default: it is steep near 0, where fewer bits have few values."""

END = 4.0
"""Where the ranges of these, and of the entries of a steep function, end until data are known."""


class QUnaryFunction(TableLayer):
    """y = oq(f(iq(x))): a finite lookup table of the quantized input.

    Args:
        activation: f, by name one of Keras' activations or of `sqrt`, `log`, `reciprocal` and the like, or a function
            of one number that is registered with Keras.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations; of a root or a logarithm
            without sign, with a range that `fit_ranges` sets from the data, of at most 12 bits.
        table_quantizer: oq: a config, a kind, a mapping, or None for the default of tables, without sign where f is
            never negative; of an exponential and of a function with a pole, with a range that `fit_ranges` sets from
            the data.

    Cost (docs/numerics.md#7): 1e-4 times the sum of 2^Bx Bt.

    Example:
        >>> layer = QUnaryFunction("tanh", input_quantizer=KIF(i=2, f=5))
    """

    activation: ElementwiseArg
    _: KW_ONLY
    input_quantizer: QuantizerArg = None
    table_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        inputs = self.input_quantizer
        if inputs is None and self.activation in OF_POSITIVE:
            inputs = adapted("activation", lambda config: config.indexing(INDEX_BITS, END))
        self.input_quantizer = self.add_quantizer(inputs, "activation", "input")
        unsigned = never_negative(self.activation)
        quantizer = self.table_quantizer
        if quantizer is None and self.activation in STEEP:
            quantizer = fitted_table(unsigned=unsigned, end=END)
        self.table = self.add_table(quantizer, "table", self.input_quantizer, self.function, unsigned)
        self.table_quantizer = self.table.quantizer

    @classmethod
    @override
    def keras_arguments(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> dict[str, Any]:
        name = of_operation(layer.activation)
        if name is None:
            return super().keras_arguments(layer, *successor)
        return {"activation": name, "name": layer.name, "dtype": layer.dtype_policy.name}

    def function(self, q: Tensor) -> Tensor:
        """Compute f, which becomes the table."""
        return self.activation(q)

    def tables_of(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the sizes of the trailing axes whose elements have a table of their own: none."""
        return ()

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included.
        """
        self.input_quantizer.build(tuple(input_shape))
        self.table.build(self.tables_of(tuple(input_shape)))
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return tuple(input_shape)

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Compute the equation above, or look it up."""
        training = bool(training)
        return self.table(self.input_quantizer.quantize(inputs, training), training)

    @override
    def ebops(self) -> Tensor:
        return self.table.ebops()

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        """Look up the quantized input."""
        (x,) = inputs
        q: A = self.input_quantizer.exact(arrays, x)
        return self.table.exact(arrays, q)


class QAffineUnaryFunction(QUnaryFunction):
    """y = oq(f(scale iq(x) + offset)): scale and offset are trained, and are part of the table.

    Args:
        activation: f, one of Keras' activations by name, or a function of one number that is registered with Keras.
        per_channel: whether each channel, an element of the last axis, has a scale, an offset and a table of its own.
        scale_initializer: Keras initializer of the scale.
        offset_initializer: Keras initializer of the offset.
        scale_regularizer: Keras regularizer of the scale, or None.
        offset_regularizer: Keras regularizer of the offset, or None.
        scale_constraint: Keras constraint of the scale, or None.
        offset_constraint: Keras constraint of the offset, or None.
        **kwargs: quantizers as in `QUnaryFunction`.

    Cost (docs/numerics.md#7): 1e-4 times the sum of 2^Bx Bt.
    """

    activation: ElementwiseArg
    _: KW_ONLY
    per_channel: bool = False
    scale_initializer: InitializerArg = "ones"
    offset_initializer: InitializerArg = "zeros"
    scale_regularizer: RegularizerArg = None
    offset_regularizer: RegularizerArg = None
    scale_constraint: ConstraintArg = None
    offset_constraint: ConstraintArg = None

    @override
    def function(self, q: Tensor) -> Tensor:
        """Compute f(scale q + offset)."""
        return self.activation(self.scale * q + self.offset)

    @override
    def tables_of(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the size of the last axis, if its channels have tables of their own.

        Raises:
            ConfigError: that axis has no static size, or is the batch.
        """
        if not self.per_channel:
            return ()
        channels = input_shape[-1]
        if channels is None or len(input_shape) < 2:
            raise ConfigError(
                f"{self.name}: per_channel needs a static size of the last axis, besides the batch. "
                f"Received: {input_shape}."
            )
        return (channels,)

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add scale and offset.

        Args:
            input_shape: batch axis included.
        """
        shape = self.tables_of(tuple(input_shape))
        self.scale = self.add_weight(
            name="scale",
            shape=shape,
            initializer=self.scale_initializer,
            regularizer=self.scale_regularizer,
            constraint=self.scale_constraint,
        )
        self.offset = self.add_weight(
            name="offset",
            shape=shape,
            initializer=self.offset_initializer,
            regularizer=self.offset_regularizer,
            constraint=self.offset_constraint,
        )
        super().build(input_shape)
