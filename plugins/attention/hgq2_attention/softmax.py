"""Softmax from two lookup tables: the exponential, and the inverse of its sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import keras
from pydantic import Field
from typing_extensions import override

from hgq2_core import ConfigError, Quantizer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import PositiveInt, QuantizerArg
from hgq2_core.layers.masks import WITHOUT
from hgq2_core.layers.transfer import shared_arguments
from hgq2_core.ops import Tensor, total
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.defaults import adapted, resolve
from hgq2_core.quantizers.ranges import DynamicRange
from hgq2_core.schema.base import FromList
from hgq2_layers.activations.lookup_table import TableLayer

A = TypeVar("A")

AxesArg = int | Annotated[tuple[int, ...], FromList]
ScaleArg = Annotated[float, Field(gt=0)]

INVERSE_OF_ZERO = 2.0**23
"""What the inverse's table quantizer sees for a sum of 0: it saturates, to the largest of the entries."""

INVERSE_END = 2.0
"""Where the range of the inverse's entries ends by default; the inverse of a sum that holds exp(0) is 1 at most."""


class QSoftmax(TableLayer):
    """y = oq(e r), e = eq(exp(-scale dq(max x - iq(x)))), r = rq(1 / sq(sum e)); unstable: e = eq(exp(scale iq(x))).

    Maximum and sum run over the positions that a mask leaves. Masked positions, and rows of nothing else, give 0; what
    stands there moves no range.

    Args:
        axis: one axis or several, the batch not among them.
        stable: whether the maximum is subtracted first.
        scale: multiplies the inputs; part of the table of the exponential.
        heterogeneous: whether each element has tables of its own, with the bits that the granularities give it.
        parallelization_factor: rows that the hardware computes at once; None for all.
        input_quantizer: of x: a config, a kind, a mapping, or None for the default of activations.
        difference_quantizer: of max x - x, only in the stable form: a config, a kind, a mapping, or None for the
            default of activations, unsigned.
        exp_quantizer: of the entries of the exponential's table: a config, a kind, a mapping, or None for the default
            of tables, unsigned.
        sum_quantizer: of the sum of the exponentials: a config, a kind, a mapping, or None for the default of
            activations.
        inverse_quantizer: of the entries of the inverse's table: a config, a kind, a mapping, or None for the default
            of tables, unsigned; it must saturate.
        output_quantizer: of y; None leaves the products unchanged.

    Cost (docs/numerics.md#7): [stable: sum Bd] + (sum Be - sum over rows of min Be) + sum Be Br, and both tables.

    Example:
        >>> layer = QSoftmax(scale=0.25, difference_quantizer=KIF(i=3, f=5, overflow_mode="SAT"))
    """

    axis: AxesArg = -1
    stable: bool = True
    scale: ScaleArg = 1.0
    heterogeneous: bool = False
    parallelization_factor: PositiveInt | None = None
    input_quantizer: QuantizerArg = None
    difference_quantizer: QuantizerArg = None
    exp_quantizer: QuantizerArg = None
    sum_quantizer: QuantizerArg = None
    inverse_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        """Make the quantizers and the tables.

        Raises:
            ConfigError: a quantizer that the form of the softmax has not, or one that cannot take the inverse of 0.
        """
        super().setup()
        if self.difference_quantizer is not None and not self.stable:
            raise ConfigError(f"{self.name}: difference_quantizer is for stable=True; the other form has no maximum.")
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        if self.stable:
            difference = _never_negative(self.difference_quantizer)
            self.difference_quantizer = self.add_quantizer(difference, "activation", "difference")
        argument = self.difference_quantizer or self.input_quantizer
        self.exp_table = self.add_table(_unsigned(self.exp_quantizer), "exp", argument, self._exponential)
        self.sum_quantizer = self.add_quantizer(self.sum_quantizer, "activation", "sum")
        inverse = _saturating(self.inverse_quantizer)
        self.inverse_table = self.add_table(inverse, "inverse", self.sum_quantizer, _inverse)
        self.exp_quantizer = self.exp_table.quantizer
        self.inverse_quantizer = self.inverse_table.quantizer
        if isinstance(self.inverse_quantizer.range, DynamicRange):
            raise ConfigError(
                f"{self.name}: inverse_quantizer must saturate, because a sum of 0 has no inverse. "
                f"Received: {self.inverse_quantizer.config}."
            )
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output")

    def _exponential(self, q: Tensor) -> Tensor:
        return keras.ops.exp(q * (-self.scale if self.stable else self.scale))

    @classmethod
    @override
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> QSoftmax:
        """Make it from Softmax, or from Activation("softmax")."""
        return cls(**{**shared_arguments(layer, cls, ("activation",)), **arguments})

    def build_along(self, input_shape: tuple[int | None, ...], axis: AxesArg) -> None:
        """Build for axes that only the shape of the input determines.

        Args:
            input_shape: batch axis included, the others of static size.
            axis: in place of the argument.
        """
        self.axis = axis
        self.build(input_shape)

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build quantizers and tables.

        Args:
            input_shape: batch axis included, the others of static size.

        Raises:
            ConfigError: a size that is not static, or axes that the input has not.
        """
        shape = tuple(input_shape)
        if None in shape[1:]:
            raise ConfigError(f"{self.name}: every axis but the batch's needs a static size. Received: shape {shape}.")
        self._axes = self._checked_axes(len(shape))
        rows = tuple(1 if axis in self._axes else size for axis, size in enumerate(shape))
        self._rows = math.prod(int(size or 1) for size in rows[1:])
        parallel = self.parallelization_factor
        if parallel is not None and parallel > self._rows:
            raise ConfigError(
                f"{self.name}: parallelization_factor must be at most the {self._rows} rows of a sample. "
                f"Received: {parallel}."
            )
        self._share = 1.0 if parallel is None else parallel / self._rows
        self._built_shape = shape
        self.input_quantizer.build(shape)
        if self.difference_quantizer is not None:
            self.difference_quantizer.build(shape)
        self.exp_table.build(shape[1:] if self.heterogeneous else ())  # type: ignore[arg-type]
        self.sum_quantizer.build(rows)
        self.inverse_table.build(rows[1:] if self.heterogeneous else ())  # type: ignore[arg-type]
        if self.output_quantizer is not None:
            self.output_quantizer.build(shape)
        self.built = True

    def _checked_axes(self, rank: int) -> tuple[int, ...]:
        given = self.axis if isinstance(self.axis, tuple | list) else (self.axis,)
        axes = tuple(axis if axis >= 0 else rank + axis for axis in given)
        if not axes or len(set(axes)) < len(axes) or any(not 0 < axis < rank for axis in axes):
            raise ConfigError(
                f"{self.name}: axis must name different axes of an input of rank {rank}, and not the batch. "
                f"Received: axis={self.axis}."
            )
        return axes

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return tuple(input_shape)

    @override
    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> Any:
        """Return the mask of the inputs.

        Raises:
            ConfigError: one of fewer axes, as those of steps are, which covers the first axes and not the last.
        """
        if isinstance(previous_mask, keras.KerasTensor) and len(previous_mask.shape) < len(inputs.shape):
            raise ConfigError(
                f"{self.name}: a mask has the axes of the inputs. Received: one of shape {tuple(previous_mask.shape)} "
                f"for inputs of shape {tuple(inputs.shape)}. Allowed: one of the same rank, as an argument of the call."
                f" {WITHOUT}"
            )
        return super().compute_mask(inputs, previous_mask)

    @override
    def call(self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None) -> Tensor:
        """Compute the equation above.

        Args:
            inputs: x.
            mask: of a shape that broadcasts to that of x; true, or above 0.5, where a position counts.
            training: Keras' own.
        """
        if mask is not None and keras.backend.standardize_dtype(mask.dtype) != "bool":
            mask = mask > 0.5
        training = bool(training)
        x = inputs if mask is None else keras.ops.where(mask, inputs, 0.0)
        x = self.input_quantizer.quantize(x, training)
        if self.difference_quantizer is not None:
            x = self.difference_quantizer.quantize(self._difference(x, mask), training)
        e = self.exp_table(x, training)
        if mask is not None:
            e = keras.ops.where(mask, e, 0.0)
        sums = self.sum_quantizer.quantize(keras.ops.sum(e, axis=self._axes, keepdims=True), training)
        y = e * self.inverse_table(sums, training)
        return y if self.output_quantizer is None else self.output_quantizer.quantize(y, training)

    def _difference(self, x: Tensor, mask: Tensor | None) -> Tensor:
        counted = x if mask is None else keras.ops.where(mask, x, -math.inf)
        # The softmax does not change with what is subtracted, so neither does its gradient.
        largest = keras.ops.stop_gradient(keras.ops.max(counted, axis=self._axes, keepdims=True))
        return largest - x if mask is None else keras.ops.where(mask, largest - x, 0.0)

    def positions(self) -> int:
        """Return how many rows a sample has, once built."""
        return self._rows

    @override
    def ebops(self) -> Tensor:
        """Return the cost above, of the share of rows that is computed at once."""
        shape = self._built_shape[1:]
        axes = tuple(axis - 1 for axis in self._axes)
        e = keras.ops.broadcast_to(self.exp_table.bits(), shape)
        products = total(e * self.inverse_table.bits())
        sums = total(e) - total(keras.ops.min(e, axis=axes))
        cost = sums + products + self.exp_table.ebops() + self.inverse_table.ebops()
        if self.difference_quantizer is not None:
            cost = cost + total(self.difference_quantizer.bits())
        return cost * self._share

    @override
    def exact(self, arrays: Arrays[A], *inputs: A, mask: A | None = None) -> A:
        """State the equation above: the maximum, the lookups, the sum and the products."""
        (x,) = inputs
        return self.exact_masked(arrays, x, None if mask is None else arrays.less(arrays.constant(0.5), mask))

    def exact_masked(self, arrays: Arrays[A], x: A, condition: A | None) -> A:
        """State it for a mask that is a condition.

        Args:
            arrays: integers, intervals, or hardware.
            x: the inputs.
            condition: 1 where a position counts.
        """
        zero = arrays.constant(0)
        if condition is not None:
            condition = arrays.broadcast(condition, _wider(arrays.shape(condition), arrays.shape(x)))
            x = arrays.select(condition, x, zero)
        x = self.input_quantizer.exact(arrays, x)
        if self.difference_quantizer is not None:
            difference = arrays.subtract(_maximum(arrays, x, condition, self._axes), x)
            if condition is not None:
                difference = arrays.select(condition, difference, zero)
            x = self.difference_quantizer.exact(arrays, difference)
        e = self.exp_table.exact(arrays, x)
        if condition is not None:
            e = arrays.select(condition, e, zero)
        sums = self.sum_quantizer.exact(arrays, arrays.sum(e, self._axes, keepdims=True))
        y = arrays.multiply(e, self.inverse_table.exact(arrays, sums))
        return y if self.output_quantizer is None else self.output_quantizer.exact(arrays, y)


def _inverse(q: Tensor) -> Tensor:
    positive = q > 0
    return keras.ops.where(positive, 1.0 / keras.ops.where(positive, q, 1.0), INVERSE_OF_ZERO)


def _unsigned(given: Any) -> Any:
    """Return the table's default without a sign, which neither function needs; what a user says about it stays."""
    return adapted("table", lambda config: config.unsigned(), keep=("scope",)) if given is None else given


def _never_negative(given: Any) -> Any:
    """Return the default of the differences, without a sign."""
    # With one, the largest entries, which set the range of all, would be of arguments that never occur.
    return adapted("activation", lambda config: config.unsigned()) if given is None else given


def _saturating(given: Any) -> Any:
    """Return the same with a range up to 2, where the default follows the entries: none holds the inverse of 0."""
    if given is not None or not isinstance(_default_table().range, DynamicRange):
        return _unsigned(given)
    return adapted("table", lambda config: config.unsigned().saturating(INVERSE_END))


def _default_table() -> Quantizer[Any]:
    return resolve(None, "table").config.build(Slot("table"))


def _wider(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    a = (1,) * (len(b) - len(a)) + tuple(a)
    return tuple(max(x, y) for x, y in zip(a, b, strict=True))


def _maximum(arrays: Arrays[A], x: A, condition: A | None, axes: Sequence[int]) -> A:
    """Return the largest along axes, of size 1 then, among the positions for which the condition holds."""
    for axis in axes:
        while (size := arrays.shape(x)[axis]) > 1:
            # Both halves may share the middle, which a maximum does not mind.
            half = -(-size // 2)
            low, high = list(range(half)), list(range(size - half, size))
            a, b = arrays.gather(x, low, axis), arrays.gather(x, high, axis)
            x = arrays.maximum(a, b)
            if condition is not None:
                first, second = arrays.gather(condition, low, axis), arrays.gather(condition, high, axis)
                x = arrays.select(first, arrays.select(second, x, a), b)
                condition = arrays.maximum(first, second)
    return x
