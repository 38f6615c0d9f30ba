"""The array interface in which every layer states its inference arithmetic once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

A = TypeVar("A")
"""An operand: opaque to layers, which only pass it back to the interface that made it."""

Axis = int | tuple[int, ...]
BitArray = int | npt.NDArray[Any]
"""Bit counts: one integer, or an integer array that broadcasts against the operand."""


class Arrays(Protocol[A]):
    """Arithmetic on dyadic rationals that never rounds except where `quantize` says so.

    Shapes include the batch axis. Binary operations broadcast as numpy does. A condition is an operand that holds
    1 where it is true and 0 elsewhere. Every method returns a new operand and leaves its arguments alone.
    """

    def constant(self, values: npt.ArrayLike) -> A:
        """Bring numbers known at export time into the arithmetic.

        Args:
            values: integers or floats; every finite float is dyadic, hence exact.

        Returns:
            An operand of the same shape and the same values.

        Raises:
            ExactnessError: a value is NaN or infinite.
        """
        ...

    def shape(self, a: A) -> tuple[int, ...]:
        """Return the shape of an operand, batch axis included."""
        ...

    def add(self, a: A, b: A) -> A:
        """Return `a + b`."""
        ...

    def subtract(self, a: A, b: A) -> A:
        """Return `a - b`."""
        ...

    def negate(self, a: A) -> A:
        """Return `-a`."""
        ...

    def multiply(self, a: A, b: A) -> A:
        """Return `a * b`, elementwise."""
        ...

    def shift(self, a: A, n: BitArray) -> A:
        """Return `a * 2**n`.

        Args:
            a: the operand.
            n: places to the left, negative for the right; no bit is ever dropped.
        """
        ...

    def einsum(self, equation: str, a: A, b: A) -> A:
        """Return the sum of products that the equation describes.

        Args:
            equation: two operands and an explicit output, such as `...i,io->...o`.
            a: the operand before the comma.
            b: the operand after the comma.

        Raises:
            ValueError: the equation has no output or does not fit the shapes.
        """
        ...

    def sum(self, a: A, axis: Axis, keepdims: bool = False) -> A:
        """Return the sum over one axis or several."""
        ...

    def maximum(self, a: A, b: A) -> A:
        """Return the larger of both, elementwise."""
        ...

    def minimum(self, a: A, b: A) -> A:
        """Return the smaller of both, elementwise."""
        ...

    def less(self, a: A, b: A) -> A:
        """Return the condition `a < b`."""
        ...

    def select(self, condition: A, a: A, b: A) -> A:
        """Return `a` where the condition is 1 and `b` where it is 0."""
        ...

    def quantize(self, a: A, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str) -> A:
        """Return the values of a fixed-point format that `a` becomes.

        Args:
            a: the operand.
            k: 1 where the format has a sign, else 0.
            i: integer bits without the sign.
            f: fraction bits. Where `k + i + f <= 0` the result is 0.
            round_mode: TRN, TRN_ZERO, RND, RND_ZERO, RND_INF, RND_MIN_INF or RND_CONV.
            overflow_mode: WRAP, SAT, SAT_SYM, SAT_ZERO or, signed only, WRAP_SM.

        Returns:
            An operand of the shape of `a`.

        Raises:
            ConfigError: the mode is unknown, or WRAP_SM meets a format without sign.
        """
        ...

    def table(self, a: A, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> A:
        """Return an exact lookup: what an elementwise function gives for each value.

        Args:
            a: the operand, whose values must be float64 numbers.
            function: elementwise, pure, float64 in and out; called on values of any shape.

        Returns:
            An operand of the shape of `a`.

        Raises:
            ExactnessError: a value is no float64, an entry is NaN or infinite, or the table is too large.
        """
        ...

    def cheapest(self, a: A, *alternatives: Callable[[A], A]) -> A:
        """Return what one of several statements gives: the first, but in hardware the one of least cost.

        Args:
            a: the operand.
            alternatives: elementwise, of operands of any shape; all give the same values.
        """
        ...

    def reshape(self, a: A, shape: Sequence[int]) -> A:
        """Return the same values in another full shape, in which one entry may be -1."""
        ...

    def transpose(self, a: A, axes: Sequence[int]) -> A:
        """Return the axes in the order given."""
        ...

    def concatenate(self, arrays: Sequence[A], axis: int) -> A:
        """Return the operands joined along an axis."""
        ...

    def broadcast(self, a: A, shape: Sequence[int]) -> A:
        """Return the operand repeated to a full shape by numpy's broadcasting."""
        ...

    def gather(self, a: A, indices: npt.ArrayLike, axis: int) -> A:
        """Return the slices that an integer array names; the shape of `indices` replaces the axis."""
        ...

    def pad(self, a: A, widths: Sequence[tuple[int, int]]) -> A:
        """Return the operand with zeros around it.

        Args:
            a: the operand.
            widths: zeros before and after, for each axis.
        """
        ...
