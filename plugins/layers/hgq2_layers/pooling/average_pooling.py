"""Average pooling with quantized inputs, reciprocals and outputs: divisions that are exact."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
import numpy as np
import numpy.typing as npt

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg, default
from hgq2_core.layers.transfer import shared_arguments
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.defaults import resolve
from hgq2_layers.convolutional.spatial import DataFormatArg, OptionalSizes, Padding, Sizes
from hgq2_layers.pooling.max_pooling import Counts, GlobalPooling, PoolingLayer, Shape, WindowedPooling
from hgq2_layers.pooling.window_reduction import SUM

A = TypeVar("A")


class AveragingLayer(PoolingLayer, kw_only=True):
    """Pooling that divides a sum by the count of its terms, what is padded left out.

    Where every count is a power of two, the division is a shift. Elsewhere it is a product with a constant that is
    quantized as a weight, `2**floor(log2(count)) / count`, and a shift.

    Args:
        reciprocal_quantizer: a config, a kind, or a mapping; without effect, and may be None, where every count is a
            power of two.
        **kwargs: as in `PoolingLayer`.
    """

    reduction = SUM

    reciprocal_quantizer: QuantizerArg = None

    def setup(self) -> None:
        """Make the quantizers."""
        super().setup()
        if self.reciprocal_quantizer is not None:
            self.reciprocal_quantizer = self.add_quantizer(self.reciprocal_quantizer, "weight", "reciprocal")

    @classmethod
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> AveragingLayer:
        """Take over the arguments; reciprocals get the default of weights where any is quantized."""
        arguments = {**shared_arguments(layer, cls), **arguments}
        if "reciprocal_quantizer" not in arguments:
            trial = cls(**arguments)
            PoolingLayer.build(trial, keras.tree.flatten(layer.input)[0].shape)
            if (divisions(trial.counts())[1] != 1).any():
                arguments["reciprocal_quantizer"] = resolve(None, "weight").config
        return cls(**arguments)

    def build(self, input_shape: Shape) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included; the spatial axes need a static size.

        Raises:
            ConfigError: a shape that does not fit, or a count that is no power of two without `reciprocal_quantizer`.
        """
        super().build(input_shape)
        self.places, self.reciprocals = divisions(self.counts())
        if self.reciprocal_quantizer is not None:
            self.reciprocal_quantizer.build(self.reciprocals.shape)
            if not self.multiplies:
                self.reciprocal_quantizer.trainable = False
        elif (self.reciprocals != 1).any():
            odd = min(int(count) for count in self.counts().ravel() if count & (count - 1))
            raise ConfigError(
                f"{self.name}: an average of {odd} values is exact once its reciprocal is quantized. "
                "Received: reciprocal_quantizer=None. Allowed: a quantizer of weights, such as 'kbi', or windows "
                "whose counts of values are powers of two."
            )

    @property
    def multiplies(self) -> bool:
        """Whether sums are multiplied by reciprocals; where every count is a power of two, they are only shifted."""
        if self.frozen:
            return "reciprocal" in self.stored()
        return self.reciprocal_quantizer is not None and bool((self.reciprocals != 1).any())

    def folded(self) -> dict[str, Tensor]:
        """Return the reciprocals, if they are quantized."""
        if not self.multiplies:
            return {}
        return {"reciprocal": keras.ops.convert_to_tensor(self.reciprocals, self.compute_dtype)}

    def pooled(self, x: Tensor, training: bool) -> Tensor:
        """Return the averages."""
        sums = self.reduced(x)
        if self.multiplies:
            sums = sums * self.constants(training)["reciprocal"]
        return sums * keras.ops.convert_to_tensor(np.ldexp(1.0, -self.places), sums.dtype)

    def exact_pooled(self, arrays: Arrays[A], x: A) -> A:
        """Return the averages, exactly."""
        sums = self.exact_reduced(arrays, x)
        if self.multiplies:
            sums = arrays.multiply(sums, self.constant(arrays, "reciprocal"))
        return arrays.shift(sums, -self.places)


def divisions(counts: Counts) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return for each count n the p and the r between 1/2 and 1 of which 1 / n = r / 2**p; one where all are equal."""
    counts = counts.ravel()[:1] if (counts == counts.flat[0]).all() else counts
    places = np.frexp(counts)[1] - 1
    return places, (np.ldexp(1.0, places) / counts).astype(np.float32)


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
            `AveragingLayer`; `parallelization_factor` and `ebops_factor`, as in `MultiplexedLayer`.

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
            `AveragingLayer`.

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


class QGlobalAveragePooling1D(GlobalAveragePooling):
    """Averages of channels over one axis; arguments, cost and arithmetic as in `GlobalAveragePooling`."""

    rank = 1

    refuses_masks = "all positions count in its mean, where Keras' own leaves the masked ones out"


class QGlobalAveragePooling2D(GlobalAveragePooling):
    """Averages of channels over two axes; arguments, cost and arithmetic as in `GlobalAveragePooling`."""

    rank = 2


class QGlobalAveragePooling3D(GlobalAveragePooling):
    """Averages of channels over three axes; arguments, cost and arithmetic as in `GlobalAveragePooling`."""

    rank = 3
