"""Average pooling with quantized inputs, reciprocals and outputs: divisions that are exact."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import default
from hgq2_core.layers.transfer import shared_arguments
from hgq2_core.ops import Tensor
from hgq2_layers.convolutional.spatial import DataFormatArg, OptionalSizes, Padding, Sizes
from hgq2_layers.core.reciprocal import ReciprocalLayer, with_reciprocal
from hgq2_layers.pooling.max_pooling import GlobalPooling, PoolingLayer, Shape, WindowedPooling
from hgq2_layers.pooling.window_reduction import SUM

A = TypeVar("A")


class AveragingLayer(ReciprocalLayer, PoolingLayer, kw_only=True):
    """Pooling that divides a sum by the count of its terms, what is padded left out.

    Args:
        **kwargs: `reciprocal_quantizer` as in `ReciprocalLayer`, the others as in `PoolingLayer`.
    """

    reduction = SUM

    @classmethod
    @override
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> AveragingLayer:
        """Take over the arguments; reciprocals get the default of weights where any is quantized."""
        arguments = {**shared_arguments(layer, cls), **arguments}
        if "reciprocal_quantizer" not in arguments:
            trial = cls(**arguments)
            PoolingLayer.build(trial, keras.tree.flatten(layer.input)[0].shape)
            arguments = with_reciprocal(arguments, trial.counts())
        return cls(**arguments)

    @override
    def build(self, input_shape: Shape) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included; the spatial axes need a static size.

        Raises:
            ConfigError: a shape that does not fit, or a count that is no power of two without `reciprocal_quantizer`.
        """
        super().build(input_shape)
        self.build_reciprocal(self.counts(), "values", "windows whose counts of values are powers of two")

    @override
    def pooled(self, x: Tensor, training: bool) -> Tensor:
        return self.divided(self.reduced(x), self.constants(training).get("reciprocal"))

    @override
    def exact_pooled(self, arrays: Arrays[A], x: A) -> A:
        return self.exact_divided(arrays, self.exact_reduced(arrays, x))


class AveragePooling(AveragingLayer, WindowedPooling):
    """y = oq(mean of each window of iq(x)).

    Where every window has a power of two of values, the division is a shift. Elsewhere, also at the borders of `same`,
    it is a product with a constant that is quantized as a weight, and a shift.

    Args:
        pool_size: of the windows along each spatial axis, or one number for all.
        strides: between windows along each spatial axis, or one number for all; None for the pool size.
        padding: `valid` or `same`; what is padded is in no window.
        data_format: `channels_last` or `channels_first`; None for Keras' own.
        **kwargs: `input_quantizer` and `output_quantizer` as in `PoolingLayer`, `reciprocal_quantizer` as in
            `ReciprocalLayer`; `parallelization_factor` and `ebops_factor`, as in `MultiplexedLayer`.

    Cost (docs/numerics.md#7): (sum Bx) times the part that is computed at once.
    """

    pool_size: Sizes
    strides: OptionalSizes = default(None)
    padding: Padding = "valid"
    data_format: DataFormatArg = default(None)


class GlobalAveragePooling(AveragingLayer, GlobalPooling):
    """y = oq(mean of each channel of iq(x)).

    Where a channel has a power of two of values, the division is a shift; elsewhere it is a product with a constant
    that is quantized as a weight, and a shift.

    Args:
        data_format: `channels_last` or `channels_first`; None for Keras' own.
        keepdims: whether the pooled axes stay, with size 1.
        **kwargs: `input_quantizer` and `output_quantizer` as in `PoolingLayer`, and `reciprocal_quantizer` as in
            `ReciprocalLayer`.

    Cost (docs/numerics.md#7): sum Bx.
    """

    data_format: DataFormatArg = default(None)
    keepdims: bool = False


class QAveragePooling1D(AveragePooling):
    """Averages of windows over one axis; arguments, cost and arithmetic as in `AveragePooling`."""

    rank = 1


class QAveragePooling2D(AveragePooling):
    """Averages of windows over two axes; arguments, cost and arithmetic as in `AveragePooling`."""

    rank = 2


class QAveragePooling3D(AveragePooling):
    """Averages of windows over three axes; arguments, cost and arithmetic as in `AveragePooling`."""

    rank = 3


class QGlobalAveragePooling2D(GlobalAveragePooling):
    """Averages of channels over two axes; arguments, cost and arithmetic as in `GlobalAveragePooling`."""

    rank = 2


class QGlobalAveragePooling3D(GlobalAveragePooling):
    """Averages of channels over three axes; arguments, cost and arithmetic as in `GlobalAveragePooling`."""

    rank = 3
