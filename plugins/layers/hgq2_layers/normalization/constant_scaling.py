"""Scaling by constants: Rescaling and Normalization whose numbers are quantized."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ConfigError, QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.layers.transfer import shared_arguments
from hgq2_core.ops import Tensor, total
from hgq2_core.quantizers.bit_options import NumberOrKeras
from hgq2_core.quantizers.defaults import adapted
from hgq2_core.schema.base import FromList

A = TypeVar("A")
NumbersArg = Annotated[Any, NumberOrKeras(None, arrays=True)]
VariancesArg = Annotated[Any, NumberOrKeras(None, least=0.0, arrays=True)]
AxesArg = int | Annotated[tuple[int, ...], FromList] | None

SCALE_BITS = 9
"""Default width of a scale, the sign counted, whose range follows the number: an eighth of a percent of it, or less."""


class ConstantScaling(QLayer, kw_only=True):
    """y = oq(iq(x) sq(s) + bq(b)); a subclass says which s and b, which are no weights that training moves.

    Args:
        scale_quantizer: of s: a config, a kind, a mapping, or None for 8 bits and a sign whose range follows s.
        offset_quantizer: of b: a config, a kind, a mapping, or None for the default of biases; without effect where b
            is 0.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.

    Cost (docs/numerics.md#7), as of a batch normalization: sum Bx Bs + sum Bb.
    """

    scale_quantizer: QuantizerArg = None
    offset_quantizer: QuantizerArg = None
    input_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        scale = self.scale_quantizer
        if scale is None:
            scale = adapted("weight", lambda config: config.with_bits(SCALE_BITS, "weight"), keep=("scope",))
        self.scale_quantizer = self.add_quantizer(scale, "weight", "scale")
        self.offset_quantizer = self.add_quantizer(self.offset_quantizer, "bias", "offset")
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output")

    @property
    @abstractmethod
    def shifts(self) -> bool:
        """Whether there is a b."""

    def build_scaling(self, input_shape: tuple[int | None, ...], shape: tuple[int, ...]) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included.
            shape: of s and of b, which broadcast against one sample.
        """
        self._sample_shape = tuple(length or 1 for length in input_shape[1:])
        self.input_quantizer.build(tuple(input_shape))
        self.scale_quantizer.build(shape)
        self.offset_quantizer.build(shape)
        if not self.shifts:
            self.offset_quantizer.trainable = False
        if self.output_quantizer is not None:
            self.output_quantizer.build(tuple(input_shape))
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Keep the shape."""
        return tuple(input_shape)

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        training = bool(training)
        constants = self.constants(training)
        outputs = self.input_quantizer.quantize(inputs, training) * constants["scale"]
        if self.shifts:
            outputs = outputs + constants["offset"]
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    @override
    def ebops(self) -> Tensor:
        """Return sum Bx Bs + sum Bb over the elements of one sample."""
        bits = self.weight_bits()
        cost = total(self.input_quantizer.bits() * bits["scale"])
        return cost + total(keras.ops.broadcast_to(bits["offset"], self._sample_shape)) if self.shifts else cost

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        (x,) = inputs
        outputs = arrays.multiply(self.input_quantizer.exact(arrays, x), self.constant(arrays, "scale"))
        if self.shifts:
            outputs = arrays.add(outputs, self.constant(arrays, "offset"))
        return outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)


class QRescaling(ConstantScaling):
    """y = oq(iq(x) sq(scale) + bq(offset)), as Keras' Rescaling with numbers of few bits.

    Args:
        scale: a number, or a list that broadcasts against the inputs.
        offset: a number, or a list that broadcasts against the inputs.
        **kwargs: quantizers as in `ConstantScaling`; Keras' own arguments.

    Example:
        >>> layer = QRescaling(1 / 255)
    """

    scale: NumbersArg
    offset: NumbersArg = 0.0

    @classmethod
    @override
    def keras_arguments(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> dict[str, Any]:
        """Return the arguments; a scale of channels is that of the first axis where Keras has it there."""
        found = shared_arguments(layer, cls)
        scale = np.asarray(found["scale"])
        if scale.ndim and keras.config.image_data_format() == "channels_first":  # Keras does this to the scale alone
            found["scale"] = scale.reshape(scale.shape + (1,) * (3 - scale.ndim))
        return found

    @property
    @override
    def shifts(self) -> bool:
        """Whether the offset is not 0."""
        return bool(np.any(self.offset))

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the quantizers.

        Args:
            input_shape: batch axis included.

        Raises:
            ConfigError: a scale or an offset that does not broadcast against the inputs.
        """
        sample = tuple(length or 1 for length in input_shape[1:])
        try:
            shape = np.broadcast_shapes(np.shape(self.scale), np.shape(self.offset), (1,))
            fits = np.broadcast_shapes(shape, sample) == sample
        except ValueError:
            fits = False
        if not fits:
            raise ConfigError(
                f"{self.name}: scale and offset broadcast against the inputs. Received: shapes {np.shape(self.scale)} "
                f"and {np.shape(self.offset)} for inputs {tuple(input_shape)}."
            )
        self.build_scaling(input_shape, shape)

    @override
    def folded(self) -> dict[str, Tensor]:
        shape = np.broadcast_shapes(np.shape(self.scale), np.shape(self.offset), (1,))
        numbers = {"scale": self.scale, **({"offset": self.offset} if self.shifts else {})}
        return {
            name: keras.ops.convert_to_tensor(np.broadcast_to(value, shape).astype(self.compute_dtype))
            for name, value in numbers.items()
        }


class QNormalization(ConstantScaling):
    """y = oq(iq(x) sq(1 / d) + bq(-mean / d)), d = max(sqrt(variance), 1e-7), as Keras' Normalization.

    Mean and variance are weights that training does not move; `quantize_model` takes over those that Keras' layer was
    adapted to.

    Args:
        axis: the axis or the axes with statistics of their own, batch axis counted; None for one mean and variance.
        mean: a number or a list that broadcasts to these axes; None for 0 until the weights are set.
        variance: a number or a list that broadcasts to these axes; None for 1 until the weights are set.
        invert: whether to undo the normalization: y = oq(iq(x) sq(d) + bq(mean)).
        **kwargs: quantizers as in `ConstantScaling`; Keras' own arguments.
    """

    axis: AxesArg = -1
    mean: NumbersArg | None = None
    variance: VariancesArg | None = None
    invert: bool = False

    @classmethod
    @override
    def keras_arguments(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> dict[str, Any]:
        """Return the arguments; the statistics are taken over as weights."""
        given = {
            name: value for name, value in shared_arguments(layer, cls).items() if name not in ("mean", "variance")
        }
        return {**given, "axis": tuple(layer.axis) or None}

    @override
    def take_weights(self, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> None:
        """Take over the statistics."""
        for own, theirs in ((self.mean_weight, layer.mean), (self.variance_weight, layer.variance)):
            own.assign(keras.ops.reshape(theirs, own.shape))

    @property
    @override
    def shifts(self) -> bool:
        """True: the mean is known only once the weights are set."""
        return True

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the statistics, and build the quantizers.

        Args:
            input_shape: batch axis included; axes with statistics of their own need a static size.

        Raises:
            ConfigError: no such axis, the batch axis, or one without a static size; statistics of another shape.
        """
        rank = len(input_shape)
        axes = () if self.axis is None else (self.axis,) if isinstance(self.axis, int) else self.axis
        kept = {axis + rank if axis < 0 else axis for axis in axes}
        if any(not 0 < axis < rank or input_shape[axis] is None for axis in kept):
            raise ConfigError(
                f"{self.name}: `axis` names axes of the input besides the batch, of static size. "
                f"Received: axis={self.axis} for shape {tuple(input_shape)}."
            )
        shape = tuple(int(size or 1) if axis in kept else 1 for axis, size in enumerate(input_shape))[1:] or (1,)
        own = tuple(int(input_shape[axis] or 1) for axis in sorted(kept))
        self.mean_weight, self.variance_weight = (
            self.add_weight(name=name, shape=shape, initializer=self._first(name, value, own, shape), trainable=False)
            for name, value in (("mean", self.mean), ("variance", self.variance))
        )
        self.build_scaling(input_shape, shape)

    def _first(self, name: str, value: Any, own: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        if value is None:
            return "zeros" if name == "mean" else "ones"
        try:
            return keras.initializers.Constant(np.broadcast_to(value, own).reshape(shape))
        except ValueError:
            raise ConfigError(
                f"{self.name}: {name} broadcasts to the axes that have statistics of their own, of shape {own}. "
                f"Received: shape {np.shape(value)}."
            ) from None

    @override
    def folded(self) -> dict[str, Tensor]:
        deviation = keras.ops.maximum(keras.ops.sqrt(self.variance_weight.value), keras.config.epsilon())
        mean = self.mean_weight.value
        if self.invert:
            return {"scale": deviation, "offset": mean}
        return {"scale": 1.0 / deviation, "offset": -mean / deviation}
