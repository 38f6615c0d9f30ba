"""The array interface in which every layer writes its inference arithmetic once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hgq2_core.errors import ExactnessError

A = TypeVar("A")
"""An operand: opaque to layers, which only pass it back to the interface that made it."""

Axis = int | tuple[int, ...]
BitArray = int | npt.NDArray[Any]
"""Bit counts: one integer, or an integer array that broadcasts against the operand."""


class Arrays(Protocol[A]):
    """Arithmetic on dyadic rationals that rounds only in `quantize`.

    Shapes include the batch axis. Binary operations broadcast like numpy's. A condition is an operand that is 1 where
    it is true and 0 elsewhere. Every method returns a new operand and does not change its arguments.
    """

    def constant(self, values: npt.ArrayLike) -> A:
        """Return an operand of numbers that are known at export time.

        Args:
            values: integers or floats; every finite float is dyadic, hence exact.

        Returns:
            An operand of the same shape and the same values.

        Raises:
            ExactnessError: a value is NaN or infinite.
        """
        ...

    def shape(self, a: A) -> tuple[int, ...]:
        """Return the shape of an operand, including the batch axis."""
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
            n: places to shift left, negative for right; no bit is dropped.
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
        """Return `a` quantized to a fixed-point format.

        Args:
            a: the operand.
            k: 1 if the format has a sign, else 0.
            i: integer bits without the sign.
            f: fraction bits. Where `k + i + f <= 0` the result is 0.
            round_mode: TRN, TRN_ZERO, RND, RND_ZERO, RND_INF, RND_MIN_INF or RND_CONV.
            overflow_mode: WRAP, SAT, SAT_SYM, SAT_ZERO or, signed only, WRAP_SM.

        Returns:
            An operand of the shape of `a`.

        Raises:
            ConfigError: a mode is unknown, or WRAP_SM is used with a format without sign.
        """
        ...

    def quantize_float(
        self,
        a: A,
        mantissa: int,
        exponent: int,
        bias: int,
        largest: float,
        statement: Callable[[Arrays[Any], Any], Any],
    ) -> A:
        """Return `a` rounded to a floating-point format: ties to even, with subnormal values, saturating.

        An export overrides it where it has such an operation; elsewhere the statement composes it of others.

        Args:
            a: the operand.
            mantissa: bits of the mantissa.
            exponent: bits of the exponent; 0 for subnormal values alone.
            bias: of the exponents: the smallest step is 2**(1 - bias - mantissa).
            largest: the largest value.
            statement: the same as a function of any arrays and an operand.
        """
        result: A = statement(self, a)
        return result

    def exponents(self, a: A) -> tuple[int, int]:
        """Return bounds of floor(log2 |v|) over all values v of an operand that are not 0; (0, 0) if all are.

        Raises:
            ExactnessError: here, where the interpretation knows no bounds of values.
        """
        raise ExactnessError(
            f"{type(self).__name__} knows no bounds of values, from which blocks of activations choose their scales."
        )

    def table(self, a: A, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> A:
        """Return the values of an elementwise function, looked up in an exact table.

        Args:
            a: the operand, whose values must be representable in float64.
            function: elementwise and pure, from float64 to float64; called on arrays of any shape.

        Returns:
            An operand of the shape of `a`.

        Raises:
            ExactnessError: float64 does not hold a value, an entry is NaN or infinite, or the table is too large.
        """
        ...

    def cheapest(self, a: A, *alternatives: Callable[[A], A]) -> A:
        """Return the value of one of several equivalent functions: the first, or in hardware the cheapest.

        Args:
            a: the operand.
            alternatives: elementwise functions of operands of any shape, all with the same values.
        """
        ...

    def quantizer(self, a: A, statement: Callable[[Arrays[Any], Any], Any]) -> A:
        """Return what a quantizer makes of an operand; the base of all quantizers calls it with their statements.

        An export overrides it, since the quantizers that the inputs of a model meet first are the host's work.

        Args:
            a: the operand.
            statement: the quantizer's exact statement, a function of any arrays and an operand.
        """
        result: A = statement(self, a)
        return result

    def reshape(self, a: A, shape: Sequence[int]) -> A:
        """Return the operand in another shape, which includes the batch axis and may have one entry -1."""
        ...

    def transpose(self, a: A, axes: Sequence[int]) -> A:
        """Return the operand with its axes in the given order."""
        ...

    def concatenate(self, arrays: Sequence[A], axis: int) -> A:
        """Return the operands joined along an axis."""
        ...

    def broadcast(self, a: A, shape: Sequence[int]) -> A:
        """Return the operand broadcast to a shape, which includes the batch axis."""
        ...

    def gather(self, a: A, indices: npt.ArrayLike, axis: int) -> A:
        """Return the slices at integer indices along an axis; the shape of `indices` replaces the axis."""
        ...

    def pad(self, a: A, widths: Sequence[tuple[int, int]]) -> A:
        """Return the operand padded with zeros.

        Args:
            a: the operand.
            widths: number of zeros before and after, for each axis.
        """
        ...
