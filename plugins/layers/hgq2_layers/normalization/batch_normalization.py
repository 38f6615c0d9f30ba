"""BatchNormalization with quantized inputs, scale, offset and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from typing import TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.ops import Tensor, total
from hgq2_layers.normalization.batch_statistics import NormalizationLayer

A = TypeVar("A")


class QBatchNormalization(NormalizationLayer):
    """y = oq(iq(x) * sq(s) + bq(beta - mean * s)); statistics of iq(x).

    Args:
        axis: the axis that has statistics of its own.
        scale_quantizer: a config, a kind, a mapping, or None for the default of weights.
        offset_quantizer: a config, a kind, a mapping, or None for the default of biases.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.
        **kwargs: of the normalization, as in `NormalizationLayer`; Keras' own arguments.

    Cost (docs/numerics.md#7): sum Bx * Bscale + sum Boffset.

    Example:
        >>> layer = QBatchNormalization(momentum=0.9, scale_quantizer=KBI(b=6))
    """

    axis: int = -1
    _: KW_ONLY
    scale_quantizer: QuantizerArg = None
    offset_quantizer: QuantizerArg = None
    input_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input", (self.axis,))
        self.scale_quantizer = self.add_quantizer(self.scale_quantizer, "weight", "scale")
        self.offset_quantizer = self.add_quantizer(self.offset_quantizer, "bias", "offset")
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output", (self.axis,))

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add gamma, beta and the moving statistics, and build the quantizers.

        Args:
            input_shape: batch axis included; the normalized axis needs a static size.

        Raises:
            ConfigError: no such axis, the batch axis, or one without a static size.
        """
        rank = len(input_shape)
        axis = self.axis + rank if self.axis < 0 else self.axis
        if not 0 < axis < rank or input_shape[axis] is None:
            raise ConfigError(
                f"{self.name}: `axis` must name an axis of the input besides the batch, of static size. "
                f"Received: axis={self.axis} for shape {tuple(input_shape)}."
            )
        size = int(input_shape[axis] or 0)
        self.input_spec = keras.layers.InputSpec(ndim=rank, axes={axis: size})
        self.add_normalization((size,), [other for other in range(rank) if other != axis])
        self._spread = (size, *(1 for _ in range(axis + 1, rank)))
        self._sample_shape = tuple(length or 1 for length in input_shape[1:])
        self.input_quantizer.build(tuple(input_shape))
        self.scale_quantizer.build((size,))
        self.offset_quantizer.build((size,))
        if self.output_quantizer is not None:
            self.output_quantizer.build(tuple(input_shape))
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Keep the shape."""
        return input_shape

    @override
    def fold(self, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
        """Return the scale and the offset for these statistics."""
        s = self.factors(variance)
        return {"scale": s, "offset": -mean * s if self.beta is None else self.beta - mean * s}

    def respond(self, x: Tensor, constants: Mapping[str, Tensor], training: bool) -> Tensor:
        """Scale and shift.

        Args:
            x: quantized inputs.
            constants: quantized scale and offset.
            training: whether the layer is in training.
        """
        scale, offset = (keras.ops.reshape(constants[name], self._spread) for name in ("scale", "offset"))
        outputs = x * scale + offset
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    @override
    def ebops(self) -> Tensor:
        """Return sum Bx * Bscale + sum Boffset over the elements of one sample."""
        bits = self.weight_bits()
        scale, offset = (keras.ops.reshape(bits[name], self._spread) for name in ("scale", "offset"))
        return total(self.input_quantizer.bits() * scale) + total(keras.ops.broadcast_to(offset, self._sample_shape))

    @override
    def exact(self, arrays: Arrays[A], *inputs: A, mask: A | None = None) -> A:
        """State the equation above in integers, in which a mask has no part."""
        (x,) = inputs
        scale, offset = (arrays.reshape(self.constant(arrays, name), self._spread) for name in ("scale", "offset"))
        outputs = arrays.add(arrays.multiply(self.input_quantizer.exact(arrays, x), scale), offset)
        return outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)
