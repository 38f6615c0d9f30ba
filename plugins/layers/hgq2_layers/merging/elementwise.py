"""What every layer that merges several inputs shares, and those that merge element by element."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ConfigError, QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg, QuantizersArg
from hgq2_core.ops import Tensor, total

A = TypeVar("A")
Shape = tuple[int | None, ...]

ADDER = 0.65
"""Cost of adding one bit, where comparing one costs 1."""


class MergeLayer(QLayer, kw_only=True):
    """y = oq(merge(iq_0(x_0), iq_1(x_1), ...)); a subclass says which merge.

    Every input has a quantizer of its own, made from one config or each from its own: the slots `input`, `input_1`,
    `input_2`, ... An input whose values are on a coarser grid already passes unchanged.

    Args:
        input_quantizer: of each input: a config, a kind, a mapping, or None for the default of activations; or a list
            of them, one for each input.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.
    """

    most_inputs: ClassVar[int | None] = None
    """The number of inputs where it is fixed; None for two or more."""

    input_quantizer: QuantizersArg = None
    output_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        """Make the quantizers of the inputs that are listed and of the outputs; `build` makes those of the others."""
        super().setup()
        self.has_list = isinstance(self.input_quantizer, tuple)
        first, *later = self.input_quantizer if self.has_list else (self.input_quantizer,)
        self.input_quantizer = self.add_quantizer(first, "activation", "input")
        self.later_quantizers: list[Any] = [
            self.add_quantizer(config, "activation", f"input_{number}") for number, config in enumerate(later, 1)
        ]
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output")

    @property
    def input_quantizers(self) -> list[Any]:
        """The quantizers of the inputs, in their order."""
        return [self.input_quantizer, *self.later_quantizers]

    @override
    def arguments_to_config(self) -> dict[str, Any]:
        """Return the arguments; the quantizers of the inputs as a list, if they came as one."""
        arguments = super().arguments_to_config()
        if self.has_list:
            arguments["input_quantizer"] = [quantizer.config.to_dict() for quantizer in self.input_quantizers]
        return arguments

    @abstractmethod
    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the merged inputs, batch axis included."""

    @abstractmethod
    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        """Merge the quantized inputs."""

    @abstractmethod
    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        """Merge the quantized inputs, exactly."""

    @abstractmethod
    def merge_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        """Return the cost of the merge from the bits of each input."""

    @override
    def build(self, input_shape: Sequence[Shape]) -> None:
        """Make a quantizer for every input.

        Args:
            input_shape: one shape for each input, batch axis included.

        Raises:
            ConfigError: a wrong number of inputs, or shapes that do not go together.
        """
        shapes = self._checked(input_shape)
        self.input_spec = [
            keras.layers.InputSpec(ndim=len(shape), axes={n: size for n, size in enumerate(shape) if n and size})
            for shape in shapes
        ]
        # The number of inputs is known from their shapes alone; the constructor has resolved the config.
        config = self.input_quantizer.config
        if not self.has_list:
            self.later_quantizers = [
                self.add_quantizer(config, "activation", f"input_{number}") for number in range(1, len(shapes))
            ]
        elif len(self.input_quantizers) != len(shapes):
            raise ConfigError(
                f"{self.name}: input_quantizer lists one for each input. Received: {len(self.input_quantizers)} "
                f"quantizers for {len(shapes)} inputs."
            )
        for quantizer, shape in zip(self.input_quantizers, shapes, strict=True):
            quantizer.build(shape)
        if self.output_quantizer is not None:
            self.output_quantizer.build(self.merged_shape(shapes))
        self.built = True

    def _checked(self, input_shape: Sequence[Any]) -> list[Shape]:
        several = len(input_shape) > 0 and all(isinstance(shape, list | tuple) for shape in input_shape)
        if not several or len(input_shape) < 2 or len(input_shape) > (self.most_inputs or len(input_shape)):
            raise ConfigError(
                f"{self.name}: merges a list of {'two' if self.most_inputs == 2 else 'two or more'} inputs. "
                f"Received: shape {tuple(input_shape)}."
            )
        shapes = [tuple(shape) for shape in input_shape]
        self.merged_shape(shapes)
        return shapes

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """Return the shape of the merged inputs."""
        return self.merged_shape(self._checked(input_shape))

    @override
    def compute_mask(self, inputs: Sequence[Tensor], mask: Sequence[Any] | None = None) -> Any:
        """Return what any input's mask keeps, as Keras does; None where an input has no mask."""
        if mask is None or any(each is None for each in mask):
            return None
        return functools.reduce(keras.ops.logical_or, mask)

    @override
    def call(self, inputs: Sequence[Tensor], training: bool | None = None) -> Tensor:
        training = bool(training)
        outputs = self.merge(
            [quantizer.quantize(x, training) for quantizer, x in zip(self.input_quantizers, inputs, strict=True)]
        )
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    @override
    def ebops(self) -> Tensor:
        return self.merge_ebops([quantizer.bits() for quantizer in self.input_quantizers])

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        outputs = self.exact_merge(
            arrays, [quantizer.exact(arrays, x) for quantizer, x in zip(self.input_quantizers, inputs, strict=True)]
        )
        result: A = outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)
        return result


def broadcast_shape(shapes: Sequence[Shape], where: str) -> Shape:
    """Broadcast shapes as Keras' merging layers do: axes that a shape lacks are of size 1, after the batch axis.

    Args:
        shapes: batch axis included.
        where: the layer, for the message.

    Raises:
        ConfigError: sizes of one axis that differ, and are not 1.
    """
    rank = max(map(len, shapes))
    whole = [(shape[0], *[1] * (rank - len(shape)), *shape[1:]) for shape in shapes]
    merged: list[int | None] = []
    for axis, sizes in enumerate(zip(*whole, strict=True)):
        found = set(sizes) - {1}
        known = found - {None}
        if len(known) > 1:
            received = ", ".join(map(str, shapes))
            raise ConfigError(f"{where}: inputs broadcast against each other. Received: shapes {received}.")
        # Keras leaves the size of a batch to the one that has it, and any other size unknown.
        unknown = None in found and (axis or not known)
        merged.append(None if unknown else max(known, default=1))
    return tuple(merged)


def aligned(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors of one rank, axes of size 1 inserted after the batch axis."""
    rank = max(len(x.shape) for x in inputs)
    return [
        keras.ops.expand_dims(x, tuple(range(1, 1 + rank - len(x.shape)))) if len(x.shape) < rank else x for x in inputs
    ]


def exact_aligned(arrays: Arrays[A], inputs: Sequence[A]) -> list[A]:
    """Return operands of one rank, axes of size 1 inserted after the batch axis."""
    shapes = [arrays.shape(x) for x in inputs]
    rank = max(map(len, shapes))
    return [
        arrays.reshape(x, (shape[0], *[1] * (rank - len(shape)), *shape[1:])) if len(shape) < rank else x
        for x, shape in zip(inputs, shapes, strict=True)
    ]


def broadcast_bits(bits: Sequence[Tensor]) -> list[Tensor]:
    """Broadcast the bits of each input to the shape of the output."""
    shape = np.broadcast_shapes(*(tuple(each.shape) for each in bits))
    return [keras.ops.broadcast_to(each, shape) for each in bits]


def adder_bits(bits: Sequence[Tensor]) -> Tensor:
    """Return the sum of all bits but, at each place, the fewest: what n - 1 operations on n numbers take."""
    return sum(map(total, bits)) - total(functools.reduce(keras.ops.minimum, bits))


class ElementwiseLayer(MergeLayer):
    """Merges element by element, broadcasting as Keras does; a subclass says what two elements give."""

    @override
    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        return broadcast_shape(shapes, self.name)

    @abstractmethod
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        """Merge two inputs."""

    @abstractmethod
    def exact_pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        """Merge two inputs, exactly."""

    @abstractmethod
    def element_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        """Return the cost from the bits of each input, which all have the shape of the output."""

    @override
    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(self.pair, aligned(inputs))

    @override
    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        return functools.reduce(functools.partial(self.exact_pair, arrays), exact_aligned(arrays, inputs))

    @override
    def merge_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        """Return the cost over all elements."""
        return self.element_ebops(broadcast_bits(bits))


class QAdd(ElementwiseLayer):
    """y = oq(iq_0(x_0) + iq_1(x_1) + ...).

    Cost (docs/numerics.md#7): 0.65 (sum B - sum of the smallest B of each element).
    """

    @override
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    @override
    def exact_pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.add(a, b)

    @override
    def element_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        return ADDER * adder_bits(bits)


class QAveragePow2(QAdd):
    """y = oq(2^-m (iq_0(x_0) + iq_1(x_1) + ...)), 2^m the smallest power of two that is no less than the inputs.

    The average of two, four, ... inputs; of three, three quarters of it. Cost: that of the sum.
    """

    @override
    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return super().merge(inputs) * 2.0 ** -halvings(len(inputs))

    @override
    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        return arrays.shift(super().exact_merge(arrays, inputs), -halvings(len(inputs)))


def halvings(count: int) -> int:
    """Return the smallest m with 2^m >= count."""
    return (count - 1).bit_length()


class QSubtract(ElementwiseLayer):
    """y = oq(iq_0(x_0) - iq_1(x_1)).

    Cost (docs/numerics.md#7): sum max(B0, B1).
    """

    most_inputs = 2

    @override
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b

    @override
    def exact_pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.subtract(a, b)

    @override
    def element_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        """Return the wider input's bits."""
        return total(keras.ops.maximum(*bits))


class QMultiply(ElementwiseLayer):
    """y = oq(iq_0(x_0) iq_1(x_1) ...).

    Cost (docs/numerics.md#7): sum of the products of the inputs' bits.
    """

    @override
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    @override
    def exact_pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.multiply(a, b)

    @override
    def element_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        """Return the products of the bits."""
        return total(functools.reduce(keras.ops.multiply, bits))


class QMaximum(ElementwiseLayer):
    """y = oq(max(iq_0(x_0), iq_1(x_1), ...)).

    Cost (docs/numerics.md#7): sum B - sum of the smallest B of each element.
    """

    @override
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return keras.ops.maximum(a, b)

    @override
    def exact_pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.maximum(a, b)

    @override
    def element_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        return adder_bits(bits)


class QMinimum(ElementwiseLayer):
    """y = oq(min(iq_0(x_0), iq_1(x_1), ...)).

    Cost (docs/numerics.md#7): sum B - sum of the smallest B of each element.
    """

    @override
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return keras.ops.minimum(a, b)

    @override
    def exact_pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.minimum(a, b)

    @override
    def element_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        return adder_bits(bits)
