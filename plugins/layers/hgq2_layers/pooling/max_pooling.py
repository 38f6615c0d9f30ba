"""Pooling with quantized inputs and outputs: what all of it shares, and maxima."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core import ConfigError, QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg, default
from hgq2_core.ops import Tensor, total
from hgq2_layers.convolutional import spatial
from hgq2_layers.convolutional.spatial import DataFormatArg, OptionalSizes, Padding, Sizes
from hgq2_layers.convolutional.windows import Windows
from hgq2_layers.core.multiplexing import MultiplexedLayer
from hgq2_layers.pooling.window_reduction import MAXIMUM, Reduction

A = TypeVar("A")
Shape = tuple[int | None, ...]
Counts = npt.NDArray[np.int64]


class PoolingLayer(QLayer, kw_only=True):
    """y = oq(pool(iq(x))); subclasses say which values become one, and how.

    A subclass has the argument `data_format` too, where Keras takes it.

    Args:
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.
    """

    rank: ClassVar[int]
    """Count of spatial axes."""

    reduction: ClassVar[Reduction]

    input_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        # Without this, Keras warns where a mask ends.
        self.supports_masking = self.refuses_masks is not None
        self.first = 2 if spatial.channels_first(self.data_format) else 1
        channels = (1,) if spatial.channels_first(self.data_format) else (-1,)
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input", channels)
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output", channels)

    @override
    def build(self, input_shape: Shape) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included; the spatial axes need a static size.

        Raises:
            ConfigError: a shape that does not fit.
        """
        spatial_shape = self.spatial_of(input_shape)
        self.spatial = tuple(size for size in spatial_shape if size is not None)
        if self.spatial != spatial_shape:
            raise ConfigError(f"{self.name}: pooling needs spatial axes of a static size. Received: {input_shape}.")
        axes = {axis: size for axis, size in enumerate(input_shape) if axis and size is not None}
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes=axes)
        self.input_quantizer.build(tuple(input_shape))
        if self.output_quantizer is not None:
            self.output_quantizer.build(self.compute_output_shape(input_shape))
        self.built = True

    def spatial_of(self, input_shape: Shape) -> Shape:
        """Return the spatial part of a shape.

        Raises:
            ConfigError: a wrong rank.
        """
        if len(input_shape) != self.rank + 2:
            raise ConfigError(
                f"{self.name}: the input has a batch axis, {self.rank} spatial axes, and channels "
                f"({self.data_format}). Received: {tuple(input_shape)}."
            )
        return tuple(input_shape[self.first : self.first + self.rank])

    @abstractmethod
    def reduced(self, x: Tensor) -> Tensor:
        """Reduce the spatial axes as far as they are pooled."""

    @abstractmethod
    def exact_reduced(self, arrays: Arrays[A], x: A) -> A:
        """Reduce the spatial axes as far as they are pooled, exactly."""

    @abstractmethod
    def counts(self) -> Counts:
        """Return how many inputs each output has, to be broadcast over the outputs of a sample."""

    def pooled(self, x: Tensor, training: bool) -> Tensor:
        """Pool; where it is an average, divide."""
        return self.reduced(x)

    def exact_pooled(self, arrays: Arrays[A], x: A) -> A:
        """Pool, exactly."""
        return self.exact_reduced(arrays, x)

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        training = bool(training)
        outputs = self.pooled(self.input_quantizer.quantize(inputs, training), training)
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    @override
    def ebops(self) -> Tensor:
        return total(self.input_quantizer.bits())

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        (x,) = inputs
        outputs = self.exact_pooled(arrays, self.input_quantizer.exact(arrays, x))
        result: A = outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)
        return result


class WindowedPooling(MultiplexedLayer, PoolingLayer, kw_only=True):
    """Pooling over windows.

    A subclass has the arguments `pool_size`, `strides` and `padding` too, where Keras takes them.

    Args:
        **kwargs: as in `PoolingLayer`; `parallelization_factor` and `ebops_factor`, as in `MultiplexedLayer`.
    """

    @override
    def setup(self) -> None:
        """Expand sizes to one number for each axis, and make the quantizers.

        Raises:
            ConfigError: another count of numbers.
        """
        strides = self.pool_size if self.strides is None else self.strides
        for name, sizes in (("pool_size", self.pool_size), ("strides", strides)):
            setattr(self, name, spatial.for_each_axis(name, sizes, self.rank))
        super().setup()

    def geometry(self) -> Windows:
        """Return how the windows lie."""
        return Windows(self.pool_size, self.strides, (1,) * self.rank, self.padding)

    @override
    def build(self, input_shape: Shape) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included; the spatial axes need a static size.

        Raises:
            ConfigError: a shape that does not fit, or a factor beyond all positions.
        """
        super().build(input_shape)
        self.require_positions()

    @override
    def position_sizes(self) -> Sequence[int | None]:
        """Return the output's spatial sizes."""
        return self.geometry().outputs(self.spatial)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Count windows.

        Raises:
            ConfigError: a shape that does not fit, or no window fits.
        """
        outputs = self.geometry().outputs(self.spatial_of(input_shape))
        if any(size is not None and size <= 0 for size in outputs):
            raise ConfigError(
                f"{self.name}: no window fits into the input. "
                f"Received: {tuple(input_shape)} for pool_size={list(self.pool_size)}."
            )
        return (*input_shape[: self.first], *outputs, *input_shape[self.first + self.rank :])

    @override
    def reduced(self, x: Tensor) -> Tensor:
        return self.reduction.windows(x, self.geometry(), self.spatial, self.first)

    @override
    def exact_reduced(self, arrays: Arrays[A], x: A) -> A:
        return self.reduction.exact_windows(arrays, x, self.geometry(), self.first)

    @override
    def counts(self) -> Counts:
        """Return how many inputs each window has, to be broadcast over the outputs of a sample."""
        counts = self.geometry().counts(self.spatial)
        return counts.reshape((1, *counts.shape) if self.first == 2 else (*counts.shape, 1))

    @override
    def ebops(self) -> Tensor:
        """Return the bits of the inputs, for the part of the output positions that is computed at once."""
        return self.multiplexed(super().ebops())


class GlobalPooling(PoolingLayer):
    """Pooling over everything but batch and channels.

    A subclass has the argument `keepdims` too, where Keras takes it.
    """

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(self.first, self.first + self.rank))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Take the pooled axes away, or leave them with size 1."""
        self.spatial_of(input_shape)
        kept = (1,) * self.rank if self.keepdims else ()
        return (*input_shape[: self.first], *kept, *input_shape[self.first + self.rank :])

    @override
    def reduced(self, x: Tensor) -> Tensor:
        """Reduce the spatial axes."""
        return self.reduction.over(x, self._axes(), self.keepdims)

    @override
    def exact_reduced(self, arrays: Arrays[A], x: A) -> A:
        return self.reduction.exact_axes(arrays, x, self._axes(), self.keepdims)

    @override
    def counts(self) -> Counts:
        """Return how many inputs there are."""
        return np.asarray([math.prod(self.spatial)])


class MaxPooling(WindowedPooling):
    """y = oq(max of each window of iq(x)).

    Args:
        pool_size: of the windows along each spatial axis, or one number for all.
        strides: between windows along each spatial axis, or one number for all; None for the pool size.
        padding: `valid` or `same`; what is padded is in no window.
        data_format: `channels_last` or `channels_first`; None for Keras' own.
        **kwargs: `input_quantizer` and `output_quantizer` as in `PoolingLayer`; `parallelization_factor` and
            `ebops_factor`, as in `MultiplexedLayer`.

    Cost (docs/numerics.md#7): (sum Bx) times the part that is computed at once.
    """

    reduction = MAXIMUM

    pool_size: Sizes = default(2)
    strides: OptionalSizes = default(None)
    padding: Padding = "valid"
    data_format: DataFormatArg = default(None)


class GlobalMaxPooling(GlobalPooling):
    """y = oq(max of each channel of iq(x)).

    Args:
        data_format: `channels_last` or `channels_first`; None for Keras' own.
        keepdims: whether the pooled axes stay, with size 1.
        **kwargs: `input_quantizer` and `output_quantizer` as in `PoolingLayer`.

    Cost (docs/numerics.md#7): sum Bx.
    """

    reduction = MAXIMUM

    data_format: DataFormatArg = default(None)
    keepdims: bool = False


class QMaxPooling1D(MaxPooling):
    """Maxima of windows over one axis; arguments, cost and arithmetic as in `MaxPooling`."""

    rank = 1


class QMaxPooling2D(MaxPooling):
    """Maxima of windows over two axes; arguments, cost and arithmetic as in `MaxPooling`."""

    rank = 2


class QMaxPooling3D(MaxPooling):
    """Maxima of windows over three axes; arguments, cost and arithmetic as in `MaxPooling`."""

    rank = 3


class QGlobalMaxPooling1D(GlobalMaxPooling):
    """Maxima of channels over one axis; arguments, cost and arithmetic as in `GlobalMaxPooling`."""

    rank = 1


class QGlobalMaxPooling2D(GlobalMaxPooling):
    """Maxima of channels over two axes; arguments, cost and arithmetic as in `GlobalMaxPooling`."""

    rank = 2


class QGlobalMaxPooling3D(GlobalMaxPooling):
    """Maxima of channels over three axes; arguments, cost and arithmetic as in `GlobalMaxPooling`."""

    rank = 3
