"""Piecewise linear activations, exact without a table: quantized input, a few comparisons, at most one product."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, TypeVar

import keras
from pydantic import Field
from typing_extensions import override

from hgq2_core import ConfigError, QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import (
    ConstraintArg,
    InitializerArg,
    PositiveInt,
    QuantizerArg,
    RegularizerArg,
)
from hgq2_core.ops import Tensor, total
from hgq2_core.schema.base import FromList
from hgq2_layers.activations.rectify import rectify

A = TypeVar("A")
NotNegative = Annotated[float, Field(ge=0)]


class ActivationLayer(QLayer, kw_only=True):
    """y = oq(f(iq(x))), elementwise; a subclass says which f.

    Args:
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.
    """

    input_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output")

    @abstractmethod
    def function(self, q: Tensor, training: bool) -> Tensor:
        """Compute f."""

    @abstractmethod
    def exact_function(self, arrays: Arrays[A], q: A) -> A:
        """State f exactly."""

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included.
        """
        self.input_quantizer.build(tuple(input_shape))
        if self.output_quantizer is not None:
            self.output_quantizer.build(tuple(input_shape))
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return tuple(input_shape)

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        training = bool(training)
        outputs = self.function(self.input_quantizer.quantize(inputs, training), training)
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    @override
    def ebops(self) -> Tensor:
        """Return 0: comparisons are free; a subclass with a product overrides it."""
        return keras.ops.zeros(())

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        (x,) = inputs
        outputs = self.exact_function(arrays, self.input_quantizer.exact(arrays, x))
        result: A = outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)
        return result


class QReLU(ActivationLayer):
    """f(x) = x above the threshold, at most `max_value`; 0 up to the threshold.

    Args:
        max_value: the largest output; None for no limit.
        negative_slope: 0; `QLeakyReLU` has a slope.
        threshold: what is not above it becomes 0.
        **kwargs: quantizers as in `ActivationLayer`.
    """

    max_value: NotNegative | None = None
    negative_slope: NotNegative = 0.0
    threshold: NotNegative = 0.0

    @override
    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: a slope.
        """
        super().setup()
        if self.negative_slope:
            raise ConfigError(
                f"QReLU: its slope below the threshold is 0. Received: negative_slope={self.negative_slope}. "
                "Use leaky_relu (QLeakyReLU), whose slope is quantized."
            )

    @override
    def function(self, q: Tensor, training: bool) -> Tensor:
        return keras.activations.relu(q, max_value=self.max_value, threshold=self.threshold)

    @override
    def exact_function(self, arrays: Arrays[A], q: A) -> A:
        zero = arrays.constant(0.0)
        if self.threshold:
            q = arrays.select(arrays.less(arrays.constant(_number(self.threshold)), q), q, zero)
        else:
            q = rectify(arrays, q)
        return q if self.max_value is None else arrays.minimum(q, arrays.constant(_number(self.max_value)))


def _number(value: float) -> float:
    """Return the number that a float32 computation makes of an argument."""
    return float(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")))


class QHardTanh(ActivationLayer):
    """f(x) = x between -1 and 1, the nearer of both beyond.

    Args:
        **kwargs: quantizers as in `ActivationLayer`.
    """

    @override
    def function(self, q: Tensor, training: bool) -> Tensor:
        return keras.activations.hard_tanh(q)

    @override
    def exact_function(self, arrays: Arrays[A], q: A) -> A:
        return arrays.maximum(arrays.minimum(q, arrays.constant(1.0)), arrays.constant(-1.0))


class SlopedLayer(ActivationLayer):
    """f(x) = x above 0, and a quantized slope times x below; a subclass has the slope, under the name of its slot."""

    slope_name = "slope"
    """The slot of the slope's quantizer."""

    @override
    def function(self, q: Tensor, training: bool) -> Tensor:
        slope = self.constants(training)[self.slope_name]
        return keras.ops.maximum(q, 0.0) + slope * keras.ops.minimum(q, 0.0)

    @override
    def exact_function(self, arrays: Arrays[A], q: A) -> A:
        below = arrays.minimum(q, arrays.constant(0.0))
        return arrays.add(rectify(arrays, q), arrays.multiply(self.constant(arrays, self.slope_name), below))

    @override
    def ebops(self) -> Tensor:
        """Return the sum over the elements of one sample of input bits times the slope's, as of a product."""
        return total(self.input_quantizer.bits() * self.weight_bits()[self.slope_name])


class QLeakyReLU(SlopedLayer):
    """y = oq(max(q, 0) + sq(slope) min(q, 0)), q = iq(x); a power of two is a shift.

    Args:
        negative_slope: of the part below 0, fixed.
        slope_quantizer: a config, a kind, a mapping, or None for the default of weights; what it makes of the slope is
            the slope.
        **kwargs: quantizers as in `ActivationLayer`.

    Cost: sum of Bx Bs, as of a product.
    """

    negative_slope: NotNegative = 0.3
    slope_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.slope_quantizer = self.add_quantizer(self.slope_quantizer, "weight", "slope")

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included.
        """
        self.slope_quantizer.build((1,))
        super().build(input_shape)

    @override
    def folded(self) -> dict[str, Tensor]:
        return {"slope": keras.ops.full((1,), self.negative_slope, dtype=self.compute_dtype)}


class QPReLU(SlopedLayer):
    """y = oq(max(q, 0) + aq(alpha) min(q, 0)), q = iq(x); the slopes alpha are trained.

    Args:
        alpha_initializer: Keras initializer of alpha.
        alpha_regularizer: Keras regularizer of alpha, or None.
        alpha_constraint: Keras constraint of alpha, or None.
        shared_axes: input axes along which alpha is shared, counted from 1; None shares along none.
        alpha_quantizer: a config, a kind, a mapping, or None for the default of weights.
        **kwargs: quantizers as in `ActivationLayer`.

    Cost: sum of Bx Ba, as of a product.
    """

    slope_name = "alpha"

    alpha_initializer: InitializerArg = "zeros"
    alpha_regularizer: RegularizerArg = None
    alpha_constraint: ConstraintArg = None
    shared_axes: Annotated[tuple[PositiveInt, ...], FromList] | None = None
    alpha_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.alpha_quantizer = self.add_quantizer(self.alpha_quantizer, "weight", "alpha")

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add alpha.

        Args:
            input_shape: batch axis included; axes that do not share alpha need a static size.

        Raises:
            ConfigError: an axis without a static size, or a shared axis that does not exist.
        """
        shared = self.shared_axes or ()
        if any(axis >= len(input_shape) for axis in shared):
            raise ConfigError(
                f"{self.name}: shared_axes are axes of the input other than the batch. "
                f"Received: shared_axes={list(shared)} for shape {tuple(input_shape)}."
            )
        shape = [1 if axis in shared else size for axis, size in enumerate(input_shape)][1:]
        if None in shape:
            raise ConfigError(
                f"{self.name}: alpha needs a static size of every axis that does not share it. Received: shape "
                f"{tuple(input_shape)}, shared_axes={list(shared)}."
            )
        self.alpha = self.add_weight(
            name="alpha",
            shape=tuple(shape),
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        self.alpha_quantizer.build(tuple(shape))
        super().build(input_shape)

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return alpha."""
        return {"alpha": self.alpha}
