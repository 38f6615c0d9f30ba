"""Sums and means over axes of one input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Annotated, Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError, QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.ops import Tensor, total
from hgq2_core.schema.base import FromList
from hgq2_layers.merging.elementwise import ADDER, Shape, halvings

A = TypeVar("A")

Axes = int | Annotated[tuple[int, ...], FromList]


class QSum(QLayer):
    """y = oq(scale times the sum of iq(x) over axes).

    Args:
        axes: the axis or axes that are summed over, batch axis counted; not the batch.
        keepdims: whether they stay, with size 1.
        scale: a power of two.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.

    Cost (docs/numerics.md#7): 0.65 (sum B - sum of the smallest B over the axes). A mask passes where its axes stay;
    masked positions count in the sum.
    """

    axes: Axes = -1
    keepdims: bool = False
    _: KW_ONLY
    scale: float = 1.0
    input_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: a scale that is no power of two.
        """
        super().setup()
        if math.frexp(self.scale)[0] != 0.5:
            raise ConfigError(f"{type(self).__name__}: scale is a power of two. Received: scale={self.scale}.")
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output")

    def summed(self, shape: Sequence[int | None]) -> tuple[int, ...]:
        """Return the axes that are summed over, counted from the front.

        Raises:
            ConfigError: no such axis, one twice, the batch, or one without a static size.
        """
        given, rank = (self.axes,) if isinstance(self.axes, int) else self.axes, len(shape)
        axes = {axis % rank for axis in given if -rank <= axis < rank}
        if len(axes) < len(given) or not axes or 0 in axes:
            raise ConfigError(
                f"{self.name}: axes name axes of the input, each once, and not the batch. "
                f"Received: axes={self.axes} for shape {tuple(shape)}."
            )
        if any(shape[axis] is None for axis in axes):
            raise ConfigError(
                f"{self.name}: an axis that is summed over needs a static size. "
                f"Received: axes={self.axes} for shape {tuple(shape)}."
            )
        return tuple(sorted(axes))

    @override
    def build(self, input_shape: Shape) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included.

        Raises:
            ConfigError: axes that do not fit the shape.
        """
        shape = tuple(input_shape)
        self._summed = self.summed(shape)
        self._terms = math.prod(shape[axis] or 1 for axis in self._summed)
        static = {axis: size for axis, size in enumerate(shape) if axis and size is not None}
        self.input_spec = keras.layers.InputSpec(ndim=len(shape), axes=static)
        self.input_quantizer.build(shape)
        if self.output_quantizer is not None:
            self.output_quantizer.build(self.compute_output_shape(shape))
        self.built = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Leave the axes out, or keep them with size 1."""
        axes = self.summed(input_shape)
        kept = [1 if axis in axes else size for axis, size in enumerate(input_shape)]
        return tuple(size for axis, size in enumerate(kept) if self.keepdims or axis not in axes)

    @override
    def compute_mask(self, inputs: Tensor, mask: Any = None) -> Any:
        """Return the mask where its axes stay; None where one is summed over."""
        return None if mask is None or min(self._summed) < len(mask.shape) else mask

    def exponent(self) -> int:
        """Return the power of two that the sum is multiplied by."""
        return math.frexp(self.scale)[1] - 1

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        training = bool(training)
        x = self.input_quantizer.quantize(inputs, training)
        outputs = keras.ops.sum(x, axis=self._summed, keepdims=self.keepdims)
        if self.exponent():
            outputs = outputs * 2.0 ** self.exponent()
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    @override
    def ebops(self) -> Tensor:
        bits = self.input_quantizer.bits()
        fewest = keras.ops.min(bits, axis=[axis - 1 for axis in self._summed])
        return ADDER * (total(bits) - total(fewest))

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        (x,) = inputs
        outputs = arrays.sum(self.input_quantizer.exact(arrays, x), self._summed, self.keepdims)
        if self.exponent():
            outputs = arrays.shift(outputs, self.exponent())
        return outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)


class QMeanPow2(QSum):
    """y = oq(scale 2^-m sum of iq(x) over axes), 2^m the smallest power of two that is no less than the terms.

    The mean of two, four, ... terms; of three, three quarters of it. Arguments and cost are those of `QSum`.
    """

    @override
    def exponent(self) -> int:
        """Return that of the scale, less m."""
        return super().exponent() - halvings(self._terms)
