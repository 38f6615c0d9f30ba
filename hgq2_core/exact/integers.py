"""The exact reference: integers with one binary exponent per array, which never overflow silently."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.errors import ExactnessError
from hgq2_core.exact.arrays import Arrays, Axis, BitArray
from hgq2_core.exact.integer_array import (
    IntegerArray,
    aligned,
    fraction_bits,
    like,
    magnitude,
    pack,
    shift,
    widen,
)
from hgq2_core.exact.rounding import quantized

FLOAT64_LIMIT = 2**53
# Scaling 53-bit integers in float64 by less than this neither overflows nor loses subnormal bits.
SAFE_EXPONENT = 900


def contracted_size(equation: str, a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Return the number of products in each output element of an einsum.

    Args:
        equation: two operands and an explicit output.
        a: shape of the operand before the comma.
        b: shape of the operand after the comma.

    Raises:
        ValueError: the equation has another form.
    """
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    subscripts = inputs.split(",")
    if not arrow or len(subscripts) != 2:
        raise ValueError(f"An einsum equation needs two operands and '->'. Received: equation={equation!r}")
    sizes: dict[str, int] = {}
    for text, shape in zip(subscripts, (a, b), strict=True):
        head, dots, tail = text.partition("...")
        dimensions = shape[: len(head)] + shape[len(shape) - len(tail) :] if dots else shape
        for label, size in zip(head + tail, dimensions, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return math.prod(size for label, size in sizes.items() if label not in output)


class Integers(Arrays[IntegerArray]):
    """`Arrays` on integers: int64 if a bound from the actual data allows it, else Python integers."""

    @override
    def constant(self, values: npt.ArrayLike) -> IntegerArray:
        array = np.asarray(values)
        if array.dtype.kind in "iub":
            return pack(array.astype(object), 0)
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            raise ExactnessError("Exact arithmetic has no NaN and no infinity, but a constant holds one.")
        mantissa, exponents = np.frexp(array)
        own = IntegerArray(np.ldexp(mantissa, 53).astype(np.int64), 53)
        nonzero = array != 0
        if not nonzero.any():
            return IntegerArray(np.zeros(array.shape, dtype=np.int64), 0)
        exponent = int((fraction_bits(own) - exponents)[nonzero].max())
        top = int(exponents[nonzero].max())
        if top + exponent < 63:
            return IntegerArray(np.asarray(np.ldexp(array, exponent)).astype(np.int64), exponent)
        return self.shift(own, np.where(nonzero, exponents, top))

    @override
    def shape(self, a: IntegerArray) -> tuple[int, ...]:
        return a.data.shape

    @override
    def add(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        exponent, (x, y) = aligned(a, b)
        x, y = widen(magnitude(x) + magnitude(y), x, y)
        return pack(x + y, exponent)

    @override
    def subtract(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        return self.add(a, self.negate(b))

    @override
    def negate(self, a: IntegerArray) -> IntegerArray:
        return IntegerArray(like(a.data, -a.data), a.exponent)

    @override
    def multiply(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        x, y = widen(magnitude(a.data) * magnitude(b.data), a.data, b.data)
        return pack(x * y, a.exponent + b.exponent)

    @override
    def shift(self, a: IntegerArray, n: BitArray) -> IntegerArray:
        return shift(a, n)

    @override
    def einsum(self, equation: str, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        terms = contracted_size(equation, a.data.shape, b.data.shape)
        bound = magnitude(a.data) * magnitude(b.data) * terms
        if bound <= FLOAT64_LIMIT:
            # No partial sum can round, and float64 is what BLAS multiplies fast.
            x, y = a.data.astype(np.float64), b.data.astype(np.float64)
            return pack(np.asarray(np.einsum(equation, x, y, optimize=True)).astype(np.int64), a.exponent + b.exponent)
        x, y = widen(bound, a.data, b.data)
        return pack(np.einsum(equation, x, y, optimize=True), a.exponent + b.exponent)

    @override
    def sum(self, a: IntegerArray, axis: Axis, keepdims: bool = False) -> IntegerArray:
        axes = axis if isinstance(axis, tuple) else (axis,)
        terms = math.prod(a.data.shape[x] for x in axes)
        (data,) = widen(magnitude(a.data) * terms, a.data)
        return pack(data.sum(axis=axis, keepdims=keepdims), a.exponent)

    @override
    def maximum(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        exponent, (x, y) = aligned(a, b)
        return pack(np.maximum(x, y), exponent)

    @override
    def minimum(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        exponent, (x, y) = aligned(a, b)
        return pack(np.minimum(x, y), exponent)

    @override
    def less(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        _, (x, y) = aligned(a, b)
        return IntegerArray(np.asarray(x < y).astype(np.int64), 0)

    @override
    def select(self, condition: IntegerArray, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        exponent, (x, y) = aligned(a, b)
        return pack(np.where(condition.data != 0, x, y), exponent)

    @override
    def quantize(
        self, a: IntegerArray, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str
    ) -> IntegerArray:
        return quantized(a, k, i, f, round_mode, overflow_mode)

    @override
    def exponents(self, a: IntegerArray) -> tuple[int, int]:
        sizes = np.abs(a.data[a.data != 0])
        if not sizes.size:
            return 0, 0
        low, high = (int(size).bit_length() - 1 - a.exponent for size in (sizes.min(), sizes.max()))
        return low, high

    @override
    def table(self, a: IntegerArray, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> IntegerArray:
        result = self.constant(function(table_inputs(a)))
        if result.data.shape != a.data.shape:
            raise ExactnessError(
                f"A table's function must be elementwise. Received: {a.data.shape} -> {result.data.shape}"
            )
        return result

    @override
    def cheapest(self, a: IntegerArray, *alternatives: Callable[[IntegerArray], IntegerArray]) -> IntegerArray:
        return alternatives[0](a)

    @override
    def reshape(self, a: IntegerArray, shape: Sequence[int]) -> IntegerArray:
        return IntegerArray(a.data.reshape(tuple(shape)), a.exponent)

    @override
    def transpose(self, a: IntegerArray, axes: Sequence[int]) -> IntegerArray:
        return IntegerArray(a.data.transpose(tuple(axes)), a.exponent)

    @override
    def concatenate(self, arrays: Sequence[IntegerArray], axis: int) -> IntegerArray:
        exponent, data = aligned(*arrays)
        return pack(np.concatenate(data, axis=axis), exponent)

    @override
    def broadcast(self, a: IntegerArray, shape: Sequence[int]) -> IntegerArray:
        return IntegerArray(np.broadcast_to(a.data, tuple(shape)), a.exponent)

    @override
    def gather(self, a: IntegerArray, indices: npt.ArrayLike, axis: int) -> IntegerArray:
        return IntegerArray(np.take(a.data, np.asarray(indices), axis=axis), a.exponent)

    @override
    def pad(self, a: IntegerArray, widths: Sequence[tuple[int, int]]) -> IntegerArray:
        return IntegerArray(np.pad(a.data, tuple(widths)), a.exponent)


def from_float(values: npt.ArrayLike) -> IntegerArray:
    """Return floats as an exact array; see `Arrays.constant`."""
    return Integers().constant(values)


def to_float(a: IntegerArray, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Return the floats nearest to the exact values, ties to even.

    Args:
        a: the exact values.
        dtype: the float type; the result is exact if its precision suffices.

    Returns:
        Correctly rounded floats, infinite beyond the range of the type.
    """
    if a.data.dtype != object and abs(a.exponent) <= SAFE_EXPONENT:
        values = np.asarray(np.ldexp(a.data.astype(np.float64), -a.exponent))
    else:
        values = np.asarray(np.frompyfunc(lambda n: _ratio(int(n), a.exponent), 1, 1)(a.data), dtype=np.float64)
    if np.dtype(dtype) != np.float64 and np.isfinite(values).all():
        # Rounding twice is harmless when the first result is the odd neighbour of an inexact value.
        rest = Integers().subtract(a, from_float(values)).data
        even = (values.view(np.int64) & 1) == 0
        values = np.where((rest != 0) & even, np.nextafter(values, np.where(rest > 0, np.inf, -np.inf)), values)
    with np.errstate(over="ignore"):
        return np.asarray(values.astype(dtype))


def _ratio(n: int, exponent: int) -> float:
    try:
        # True division of Python integers rounds correctly, subnormals included.
        return n / (1 << exponent) if exponent > 0 else float(n << -exponent)
    except OverflowError:
        return math.copysign(math.inf, n)


def equal(a: IntegerArray, values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return where exact values and floats are equal, compared exactly.

    Args:
        a: the exact values.
        values: floats of the same shape; NaN and infinities equal nothing, and -0.0 equals 0.0.

    Returns:
        True where the float is the exact value.

    Raises:
        ValueError: the shapes differ.
    """
    floats = np.asarray(values).astype(np.float64)
    if floats.shape != a.data.shape:
        raise ValueError(f"Cannot compare shapes that differ. Received: {a.data.shape} and {floats.shape}")
    if magnitude(a.data) <= FLOAT64_LIMIT and abs(a.exponent) <= SAFE_EXPONENT:
        return np.asarray(to_float(a) == floats)
    finite = np.isfinite(floats)
    _, (x, y) = aligned(a, from_float(np.where(finite, floats, 0.0)))
    return np.asarray((x == y) & finite)


def table_inputs(a: IntegerArray) -> npt.NDArray[np.float64]:
    """Return the float64 numbers that a table's function is called with.

    Args:
        a: the exact values.

    Raises:
        ExactnessError: float64 does not hold a value exactly.
    """
    values = to_float(a)
    if not equal(a, values).all():
        raise ExactnessError("A lookup table needs inputs that float64 holds exactly: at most 53 bits.")
    return values
