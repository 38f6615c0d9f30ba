"""Global averages over one axis, which may leave out the positions that a mask leaves out."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from typing import Any, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, Widths
from hgq2_core.layers.masks import implicit_mask
from hgq2_core.ops import Tensor, total
from hgq2_core.quantizers.defaults import resolve
from hgq2_layers.activations.lookup_table import ENTRY_EBOPS
from hgq2_layers.merging.elementwise import ADDER
from hgq2_layers.pooling.average_pooling import AveragingLayer, GlobalAveragePooling
from hgq2_layers.pooling.max_pooling import Counts

A = TypeVar("A")


class QGlobalAveragePooling1D(GlobalAveragePooling):
    """Averages of channels over one axis; arguments, cost and arithmetic as in `GlobalAveragePooling`.

    With a mask, y = oq(r_n 2^-p_n sum of iq(x) over the n positions that it leaves), 1 / n = r_n 2^-p_n, the factor a
    table of n; 0 where it leaves none.

    Args:
        masked: whether a mask leaves positions out. There is a reciprocal for each count of positions then, by default
            quantized as a weight.
        **kwargs: as in `GlobalAveragePooling`.

    Cost with a mask (docs/numerics.md#8): that without + 0.65 (positions - 1) to count them + the products of sums and
    reciprocals + 1e-4 for each bit of the reciprocals.
    """

    rank = 1

    refuses_masks = "without masked=True all positions count in its mean, where Keras' own leaves the masked ones out"

    _: KW_ONLY
    masked: bool = False

    @override
    def setup(self) -> None:
        if self.masked and self.reciprocal_quantizer is None:
            self.reciprocal_quantizer = resolve(None, "weight").config
        super().setup()

    @classmethod
    @override
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> AveragingLayer:
        """Take over the arguments, and whether there is a mask."""
        masked = implicit_mask(keras.tree.flatten(layer.input)[0]) is not None
        return super().from_keras(layer, *successor, **{"masked": masked, **arguments})

    @override
    def counts(self) -> Counts:
        """Return how many inputs there are; with a mask, one count for each number of positions that it may leave."""
        if not self.masked:
            return super().counts()
        return np.maximum(np.arange(self.spatial[0] + 1), 1)  # a sum of none is 0 anyway

    @override
    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> Any:
        """Return no mask.

        Raises:
            ConfigError: there is a mask, and the layer takes none.
        """
        return None if self.masked else super().compute_mask(inputs, previous_mask)

    @override
    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        if not self.masked:
            return super().call(inputs, training)
        training = bool(training)
        if mask is None:
            mask = keras.ops.ones((keras.ops.shape(inputs)[0], self.spatial[0]))
        mask = keras.ops.cast(mask, "bool")
        spread = keras.ops.expand_dims(mask, 3 - self.first)  # the axis of the channels
        # The first keeps what is masked from the quantizer, the second from the sum.
        x = self.input_quantizer.quantize(keras.ops.where(spread, inputs, 0.0), training)
        sums = self.reduced(keras.ops.where(spread, x, 0.0))
        factors = keras.ops.convert_to_tensor(np.ldexp(1.0, -self.places), sums.dtype)
        if self.multiplies:
            factors = factors * self.constants(training)["reciprocal"]
        factors = keras.ops.broadcast_to(factors, (self.spatial[0] + 1,))
        factor = keras.ops.take(factors, keras.ops.sum(keras.ops.cast(mask, "int32"), axis=1), axis=0)
        outputs = sums * keras.ops.reshape(factor, (-1, *(1,) * (len(sums.shape) - 1)))
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    @override
    def ebops(self) -> Tensor:
        """Return the cost above."""
        cost = super().ebops()
        if not self.masked:
            return cost
        cost = cost + ADDER * (self.spatial[0] - 1)
        if not self.multiplies:
            return cost
        bits, reciprocals = self.input_quantizer.bits(), self.weight_bits()["reciprocal"]
        sums = keras.ops.max(bits, axis=self.first - 1) + math.log2(self.spatial[0])
        return cost + total(sums) * keras.ops.max(reciprocals) + ENTRY_EBOPS * total(reciprocals)

    @override
    def width(self, widths: Widths, *inputs: Width, mask: Width | None = None) -> Width:  # type: ignore[override]
        """Return the bits of the output quantizer, or of the products."""
        (x,) = inputs
        if not self.masked:
            return super().exact(widths, x)
        outputs = self.exact_reduced(widths, self.input_quantizer.exact(widths, x))
        if self.multiplies:
            bits = keras.ops.max(self.weight_bits()["reciprocal"])
            outputs = widths.multiply(outputs, widths.entries((1,) * len(outputs.shape), bits))
        result: Width = outputs if self.output_quantizer is None else self.output_quantizer.exact(widths, outputs)
        return result

    @override
    def exact(self, arrays: Arrays[A], *inputs: A, mask: A | None = None) -> A:
        if not self.masked:
            return super().exact(arrays, *inputs)
        (x,) = inputs
        x = self.input_quantizer.exact(arrays, x)
        batch, steps = arrays.shape(x)[0], self.spatial[0]
        if mask is None:
            mask = arrays.broadcast(arrays.constant(1.0), (batch, steps))
        kept = arrays.less(arrays.constant(0.0), arrays.maximum(mask, arrays.negate(mask)))
        spread = arrays.reshape(kept, (batch, steps, 1) if self.first == 1 else (batch, 1, steps))
        zero = arrays.constant(0.0)
        sums = self.exact_reduced(arrays, arrays.select(arrays.broadcast(spread, arrays.shape(x)), x, zero))
        factor = arrays.table(arrays.sum(kept, 1), self._factor)
        factor = arrays.reshape(factor, (batch, *(1,) * (len(arrays.shape(sums)) - 1)))
        outputs = arrays.multiply(sums, factor)
        return outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)

    def _factor(self, count: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        factors = np.ldexp(1.0, -self.places)
        if self.multiplies:
            factors = factors * np.asarray(keras.ops.convert_to_numpy(self.constants()["reciprocal"]), np.float64)
        found: npt.NDArray[np.float64] = np.broadcast_to(factors, self.spatial[0] + 1)[count.astype(np.int64)]
        return found
