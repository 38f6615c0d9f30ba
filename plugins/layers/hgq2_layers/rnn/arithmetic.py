"""Arithmetic in which a step of a sequence is stated once, for tensors as for exact arrays."""

# ruff: noqa: D102  # the methods are documented in the protocol

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import Quantizer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.call import running

A = TypeVar("A")


class Function(Protocol):
    """A function of quantized values: a nonlinearity, or a spike."""

    def __call__(self, q: Tensor, training: bool) -> Tensor:
        """Return it for tensors."""

    def exact(self, arrays: Arrays[A], q: A) -> A:
        """State it."""


Step = Callable[[Sequence[A], Sequence[A]], Sequence[A]]
"""What a step makes of its inputs and the states before it."""


class Arithmetic(Protocol[A]):
    """What a step is stated in, once: tensors, or exact arrays."""

    def add(self, a: A, b: A) -> A:
        """Return a + b."""

    def subtract(self, a: A, b: A) -> A:
        """Return a - b."""

    def multiply(self, a: A, b: A) -> A:
        """Return a b, element by element."""

    def scale(self, a: A, factor: float) -> A:
        """Return a times a constant."""

    def detach(self, a: A) -> A:
        """Return a, through which no gradient goes."""

    def product(self, x: A, kernel: A) -> A:
        """Multiply over the last axis."""

    def part(self, x: A, index: Any, axis: int) -> A:
        """Return the slices of indices in a row, or the one slice of an index without its axis."""

    def one(self) -> A:
        """Return 1."""

    def number(self, value: float) -> A:
        """Return a constant, which broadcasts to anything."""

    def zeros_like(self, x: A) -> A:
        """Return zeros of the shape of x."""

    def first_largest(self, x: A) -> A:
        """Return 1 at the first of the largest elements along the last axis, and 0 elsewhere."""

    def zero(self, x: A) -> A:
        """Return 0, which broadcasts to x."""

    def zeros(self, x: A, units: int) -> A:
        """Return zeros for each sample of x."""

    def join(self, parts: Sequence[A]) -> A:
        """Put parts after each other along the last axis."""

    def stack(self, steps: Sequence[A]) -> A:
        """Put steps along the second axis."""

    def condition(self, mask: A) -> A:
        """Return a mask of (batch, steps) as a condition of (batch, steps, 1); what is not 0 counts as true."""

    def select(self, condition: A, a: A, b: A) -> A:
        """Return a where the condition holds, and b elsewhere."""

    def steps(
        self, step: Step[A], inputs: Sequence[A], states: Sequence[A], backwards: bool, all_steps: bool
    ) -> tuple[A, Sequence[A]]:
        """Step through the second axis; give the first state after all steps, or after the last, and the states."""

    def dropped(self, quantizer: Quantizer[Any], state: A) -> A:
        """Return a state as the recurrent products see it: in training with dropout, and quantized again."""

    def quantize(self, quantizer: Quantizer[Any], x: A) -> A:
        """Quantize."""

    def apply(self, function: Function, q: A) -> A:
        """Return the function of quantized values."""


class _WrittenOut(Generic[A]):
    """Steps one after the other, each a circuit, or a part of the graph, of its own."""

    part: Callable[[A, Any, int], A]
    stack: Callable[[Sequence[A]], A]
    length: Callable[[A], int]

    def steps(
        self, step: Step[A], inputs: Sequence[A], states: Sequence[A], backwards: bool, all_steps: bool
    ) -> tuple[A, Sequence[A]]:
        outputs = []
        for number in range(self.length(inputs[0]))[:: -1 if backwards else 1]:
            states = step([self.part(each, number, 1) for each in inputs], states)
            outputs.append(states[0])
        return self.stack(outputs) if all_steps else outputs[-1], states


class Tensors(_WrittenOut[Tensor]):
    """Arithmetic of backend tensors.

    Args:
        training: as in `Quantizer.quantize`.
        recurrent_dropout: what the states are multiplied with for the recurrent products; None for 1.
    """

    def __init__(self, training: bool, recurrent_dropout: Tensor | None = None) -> None:
        self.training = training
        self.recurrent_dropout = recurrent_dropout

    def dropped(self, quantizer: Quantizer[Any], state: Tensor) -> Tensor:
        return state if self.recurrent_dropout is None else self.quantize(quantizer, state * self.recurrent_dropout)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def subtract(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def scale(self, a: Tensor, factor: float) -> Tensor:
        return a * factor

    def detach(self, a: Tensor) -> Tensor:
        return keras.ops.stop_gradient(a)

    def product(self, x: Tensor, kernel: Tensor) -> Tensor:
        return x @ kernel

    @override
    def part(self, x: Tensor, index: Any, axis: int) -> Tensor:
        where = index if isinstance(index, int) else slice(int(index[0]), int(index[-1]) + 1)
        return x[(slice(None),) * axis + (where,)]

    def one(self) -> Tensor:
        return 1.0

    def number(self, value: float) -> Tensor:
        return value

    def zeros_like(self, x: Tensor) -> Tensor:
        return keras.ops.zeros_like(x)

    def first_largest(self, x: Tensor) -> Tensor:
        largest = keras.ops.cast(x >= keras.ops.max(x, axis=-1, keepdims=True), x.dtype)
        return largest * keras.ops.cast(keras.ops.cumsum(largest, axis=-1) <= 1, x.dtype)

    def zero(self, x: Tensor) -> Tensor:
        return keras.ops.zeros((), dtype=x.dtype)

    def zeros(self, x: Tensor, units: int) -> Tensor:
        return keras.ops.zeros((keras.ops.shape(x)[0], units), dtype=x.dtype)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return keras.ops.concatenate(parts, axis=-1)

    @override
    def stack(self, steps: Sequence[Tensor]) -> Tensor:
        return keras.ops.stack(steps, axis=1)

    def condition(self, mask: Tensor) -> Tensor:
        return keras.ops.cast(mask, "bool")[..., None]

    def select(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return keras.ops.where(condition, a, b)

    @override
    def length(self, x: Tensor) -> int:
        return int(x.shape[1])

    def quantize(self, quantizer: Quantizer[Any], x: Tensor) -> Tensor:
        return quantizer.quantize(x, self.training)

    def apply(self, function: Function, q: Tensor) -> Tensor:
        return function(q, self.training)


class ScannedTensors(Tensors):
    """Arithmetic of backend tensors whose steps are one loop, compiled once; nothing inside may change a variable."""

    @override
    def steps(
        self, step: Step[Tensor], inputs: Sequence[Tensor], states: Sequence[Tensor], backwards: bool, all_steps: bool
    ) -> tuple[Tensor, Sequence[Tensor]]:
        def one(states: Sequence[Tensor], parts: Sequence[Tensor]) -> tuple[Sequence[Tensor], Tensor]:
            with running(None):  # no tensor may leave the loop, so EBOPs count the bits anew
                states = tuple(step(parts, states))
            return states, states[0] if all_steps else None

        parts = tuple(keras.ops.moveaxis(each, 1, 0) for each in inputs)
        parts = tuple(keras.ops.flip(each, 0) for each in parts) if backwards else parts
        states, outputs = keras.ops.scan(one, tuple(states), parts)
        return keras.ops.moveaxis(outputs, 0, 1) if all_steps else states[0], states


class Exact(_WrittenOut[A]):
    """Arithmetic of exact arrays.

    Args:
        arrays: integers, intervals, or hardware.
    """

    def __init__(self, arrays: Arrays[A]) -> None:
        self.arrays = arrays
        self.add, self.subtract, self.multiply = arrays.add, arrays.subtract, arrays.multiply

    def dropped(self, quantizer: Quantizer[Any], state: A) -> A:
        return state

    @override
    def length(self, x: A) -> int:
        return self.arrays.shape(x)[1]

    def condition(self, mask: A) -> A:
        size = self.arrays.maximum(mask, self.arrays.negate(mask))
        return self.arrays.reshape(self.arrays.less(self.arrays.constant(0.0), size), (*self.arrays.shape(mask), 1))

    def select(self, condition: A, a: A, b: A) -> A:
        return self.arrays.select(condition, a, b)

    def scale(self, a: A, factor: float) -> A:
        return self.arrays.multiply(a, self.arrays.constant(factor))

    def detach(self, a: A) -> A:
        return a

    def product(self, x: A, kernel: A) -> A:
        return self.arrays.einsum("...i,io->...o", x, kernel)

    @override
    def part(self, x: A, index: Any, axis: int) -> A:
        return self.arrays.gather(x, index, axis)

    def one(self) -> A:
        return self.arrays.constant(1.0)

    def number(self, value: float) -> A:
        return self.arrays.constant(value)

    def zeros_like(self, x: A) -> A:
        return self.arrays.broadcast(self.arrays.constant(0.0), self.arrays.shape(x))

    def first_largest(self, x: A) -> A:
        last = len(self.arrays.shape(x)) - 1
        size = self.arrays.shape(x)[last]
        each = [self.arrays.gather(x, np.array([n]), last) for n in range(size)]
        before, behind = _running_maxima(self.arrays, each), _running_maxima(self.arrays, each[::-1])[::-1]
        one = self.arrays.constant(1.0)
        winners = []
        for n, value in enumerate(each):
            found = self.arrays.broadcast(one, self.arrays.shape(value))
            if n:  # strictly above all before
                found = self.arrays.multiply(found, self.arrays.less(before[n - 1], value))
            if n < size - 1:  # and not below any behind
                below = self.arrays.less(value, behind[n + 1])
                found = self.arrays.multiply(found, self.arrays.subtract(one, below))
            winners.append(found)
        return self.arrays.concatenate(winners, axis=last)

    def zero(self, x: A) -> A:
        return self.arrays.constant(0.0)

    def zeros(self, x: A, units: int) -> A:
        return self.arrays.broadcast(self.arrays.constant(0.0), (self.arrays.shape(x)[0], units))

    def join(self, parts: Sequence[A]) -> A:
        return self.arrays.concatenate(parts, axis=-1)

    @override
    def stack(self, steps: Sequence[A]) -> A:
        batch, *rest = self.arrays.shape(steps[0])
        return self.arrays.concatenate([self.arrays.reshape(each, (batch, 1, *rest)) for each in steps], axis=1)

    def quantize(self, quantizer: Quantizer[Any], x: A) -> A:
        return quantizer.exact(self.arrays, x)

    def apply(self, function: Function, q: A) -> A:
        return function.exact(self.arrays, q)


def _running_maxima(arrays: Arrays[A], each: Sequence[A]) -> list[A]:
    """Return the largest of the first, of the first two, and so on."""
    return list(itertools.accumulate(each, arrays.maximum))
