"""Arithmetic in which a step of a sequence is stated once, for tensors as for exact arrays."""

# ruff: noqa: D102  # the methods are documented in the protocol

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import keras

from hgq2_core import Quantizer
from hgq2_core.exact.arrays import Arrays

A = TypeVar("A")
Tensor = Any


class Function(Protocol):
    """A function of quantized values: a nonlinearity, or a spike."""

    def __call__(self, q: Tensor, training: bool) -> Tensor:
        """Give it for tensors."""

    def exact(self, arrays: Arrays[A], q: A) -> A:
        """State it."""


class Arithmetic(Protocol[A]):
    """What a step is stated in, once: tensors, or exact arrays."""

    def add(self, a: A, b: A) -> A:
        """Give a + b."""

    def subtract(self, a: A, b: A) -> A:
        """Give a - b."""

    def multiply(self, a: A, b: A) -> A:
        """Give a b, element by element."""

    def scale(self, a: A, factor: float) -> A:
        """Give a times a constant."""

    def detach(self, a: A) -> A:
        """Give a, through which no gradient goes."""

    def product(self, x: A, kernel: A) -> A:
        """Multiply over the last axis."""

    def part(self, x: A, index: Any, axis: int) -> A:
        """Give the slices of indices in a row, or the one slice of an index without its axis."""

    def one(self) -> A:
        """Give 1."""

    def zeros(self, x: A, units: int) -> A:
        """Give zeros for each sample of x."""

    def join(self, parts: Sequence[A]) -> A:
        """Put parts after each other along the last axis."""

    def stack(self, steps: Sequence[A]) -> A:
        """Put steps along the second axis."""

    def quantize(self, quantizer: Quantizer[Any], x: A) -> A:
        """Quantize."""

    def apply(self, function: Function, q: A) -> A:
        """Give the function of quantized values."""


class Tensors:
    """Arithmetic of backend tensors.

    Args:
        training: as in `Quantizer.quantize`.
    """

    def __init__(self, training: bool) -> None:
        self.training = training

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

    def part(self, x: Tensor, index: Any, axis: int) -> Tensor:
        where = index if isinstance(index, int) else slice(int(index[0]), int(index[-1]) + 1)
        return x[(slice(None),) * axis + (where,)]

    def one(self) -> Tensor:
        return 1.0

    def zeros(self, x: Tensor, units: int) -> Tensor:
        return keras.ops.zeros((keras.ops.shape(x)[0], units), dtype=x.dtype)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return keras.ops.concatenate(parts, axis=-1)

    def stack(self, steps: Sequence[Tensor]) -> Tensor:
        return keras.ops.stack(steps, axis=1)

    def quantize(self, quantizer: Quantizer[Any], x: Tensor) -> Tensor:
        return quantizer.quantize(x, self.training)

    def apply(self, function: Function, q: Tensor) -> Tensor:
        return function(q, self.training)


class Exact(Generic[A]):
    """Arithmetic of exact arrays.

    Args:
        arrays: integers, intervals, or hardware.
    """

    def __init__(self, arrays: Arrays[A]) -> None:
        self.arrays = arrays
        self.add, self.subtract, self.multiply = arrays.add, arrays.subtract, arrays.multiply

    def scale(self, a: A, factor: float) -> A:
        return self.arrays.multiply(a, self.arrays.constant(factor))

    def detach(self, a: A) -> A:
        return a

    def product(self, x: A, kernel: A) -> A:
        return self.arrays.einsum("...i,io->...o", x, kernel)

    def part(self, x: A, index: Any, axis: int) -> A:
        return self.arrays.gather(x, index, axis)

    def one(self) -> A:
        return self.arrays.constant(1.0)

    def zeros(self, x: A, units: int) -> A:
        return self.arrays.broadcast(self.arrays.constant(0.0), (self.arrays.shape(x)[0], units))

    def join(self, parts: Sequence[A]) -> A:
        return self.arrays.concatenate(parts, axis=-1)

    def stack(self, steps: Sequence[A]) -> A:
        batch, *rest = self.arrays.shape(steps[0])
        return self.arrays.concatenate([self.arrays.reshape(each, (batch, 1, *rest)) for each in steps], axis=1)

    def quantize(self, quantizer: Quantizer[Any], x: A) -> A:
        return quantizer.exact(self.arrays, x)

    def apply(self, function: Function, q: A) -> A:
        return function.exact(self.arrays, q)
