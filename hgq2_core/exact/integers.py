"""The exact reference: integers with one binary exponent per array, never overflowing in silence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from hgq2_core.errors import ConfigError, ExactnessError, listing, nearest
from hgq2_core.exact.arrays import Arrays, Axis, BitArray

Data = npt.NDArray[Any]
T = TypeVar("T")

INT64_LIMIT = 2**63
FLOAT64_LIMIT = 2**53
# Float64 neither overflows nor loses subnormal bits while 53-bit integers are scaled by less than this.
SAFE_EXPONENT = 900
NO_BITS = -(2**40)
"""Fraction bits of an exact zero, which lies on every grid: lower than any real count, even after a few additions."""


@dataclass(frozen=True, eq=False)
class IntegerArray:
    """Numbers `data * 2**-exponent`.

    Args:
        data: int64, or Python integers (dtype object) where a magnitude reaches 2**63.
        exponent: fraction bits, one count for the whole array; may be negative.
    """

    data: Data
    exponent: int

    def __post_init__(self) -> None:
        # Narrower integers would overflow in silence.
        if self.data.dtype not in (np.int64, np.object_):
            raise TypeError(f"Exact data is int64 or Python integers. Received: dtype={self.data.dtype}")


def magnitude(data: Data) -> int:
    """Return the largest absolute value as a Python integer; 0 for an empty array."""
    return max(int(data.max()), -int(data.min())) if data.size else 0


def like(a: Data, data: Any) -> Data:
    """Return a result as an array of the dtype of `a`: numpy hands out bare Python integers for 0-d object arrays."""
    return np.asarray(data, dtype=a.dtype)


def pack(data: Any, exponent: int) -> IntegerArray:
    """Return the canonical array: int64 if possible, common trailing zeros dropped, exponent 0 for zeros."""
    # Numpy would make uint64 of some bare Python integers.
    data = np.asarray(data, dtype=object if isinstance(data, int) else None)
    if data.dtype == object and magnitude(data) < INT64_LIMIT:
        data = data.astype(np.int64)
    bits = int(np.bitwise_or.reduce(data, axis=None))
    if bits == 0:
        return IntegerArray(data, 0)
    zeros = (bits & -bits).bit_length() - 1
    return IntegerArray(like(data, data >> zeros) if zeros else data, exponent - zeros)


def widen(bound: int, *data: Data) -> tuple[Data, ...]:
    """Return the arrays ready for arithmetic whose every intermediate stays within a bound."""
    if bound < INT64_LIMIT and all(d.dtype != object for d in data):
        return data
    return tuple(d.astype(object) for d in data)


def aligned(*arrays: IntegerArray) -> tuple[int, tuple[Data, ...]]:
    """Return one exponent that serves all arrays, and their data at it."""
    exponent = max(a.exponent for a in arrays)
    return exponent, tuple(_left(a.data, exponent - a.exponent) for a in arrays)


def integer(bits: BitArray) -> npt.NDArray[np.int64]:
    """Return bit counts as int64; floats are refused rather than cut."""
    return np.asarray(bits).astype(np.int64, casting="same_kind")


def _left(data: Data, n: int) -> Data:
    (data,) = widen(magnitude(data) << n, data)
    return like(data, data << n)


def fraction_bits(a: IntegerArray) -> npt.NDArray[np.int64]:
    """Return for each element the fewest fraction bits that hold it; `NO_BITS` for zero."""
    lowest = like(a.data, a.data & -a.data)
    if lowest.dtype == object:
        zeros = np.asarray(np.frompyfunc(int.bit_length, 1, 1)(lowest), dtype=np.int64) - 1
    else:
        zeros = np.frexp(lowest.astype(np.float64))[1].astype(np.int64) - 1
    return np.where(lowest == 0, NO_BITS, a.exponent - zeros)


def contracted_size(equation: str, a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Return how many products each output element of an einsum sums up.

    Args:
        equation: two operands and an explicit output.
        a: shape of the operand before the comma.
        b: shape of the operand after the comma.

    Raises:
        ValueError: the equation is of another form.
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


class _Cut(NamedTuple):
    """What rounding may look at: the value lies between `floor` and the next grid point."""

    inexact: Data
    above: Data
    tie: Data
    negative: Data
    odd: Data


ROUND_UP: Mapping[str, Callable[[_Cut], Data]] = {
    "TRN": lambda cut: cut.inexact & False,
    "TRN_ZERO": lambda cut: cut.inexact & cut.negative,
    "RND": lambda cut: cut.above | cut.tie,
    "RND_ZERO": lambda cut: cut.above | (cut.tie & cut.negative),
    "RND_INF": lambda cut: cut.above | (cut.tie & ~cut.negative),
    "RND_MIN_INF": lambda cut: cut.above,
    "RND_CONV": lambda cut: cut.above | (cut.tie & cut.odd),
}
"""For each rounding mode, whether a value goes to the grid point above it."""


class _Limits(NamedTuple):
    """The smallest value, the largest value and the step of a format, in one unit."""

    low: Data
    high: Data
    ulp: Data


def _clip(q: Data, floor: Data, limits: _Limits) -> Data:
    return np.minimum(np.maximum(q, limits.low), limits.high)


def _zero(q: Data, floor: Data, limits: _Limits) -> Data:
    return np.where((q < limits.low) | (q > limits.high), 0, q)


def _wrap(q: Data, floor: Data, limits: _Limits) -> Data:
    return like(q, limits.low + (q - limits.low) % (limits.high - limits.low + limits.ulp))


def _wrap_sign_magnitude(q: Data, floor: Data, limits: _Limits) -> Data:
    half = limits.high + limits.ulp
    # As in ap_fixed, the discarded sign bit is that of the value before rounding, unless it rounds to zero.
    lost_sign = np.where(q == 0, 0, floor) // (2 * half)
    wrapped = _wrap(q, floor, limits)
    return np.where((lost_sign ^ (q // half)) & 1 == 1, like(q, limits.low + limits.high - wrapped), wrapped)


OVERFLOW: Mapping[str, Callable[[Data, Data, _Limits], Data]] = {
    "SAT": _clip,
    "SAT_SYM": _clip,
    "SAT_ZERO": _zero,
    "WRAP": _wrap,
    "WRAP_SM": _wrap_sign_magnitude,
}
"""For each overflow mode, what becomes of rounded values, given also their floors and the format's limits."""


def _choose(table: Mapping[str, T], argument: str, received: str) -> T:
    if received not in table:
        hint = nearest(received, table)
        raise ConfigError(f"{argument} must be one of {listing(table)}. Received: {argument}={received!r}.{hint}")
    return table[received]


def rounded(a: IntegerArray, f: BitArray, round_mode: str) -> tuple[IntegerArray, IntegerArray]:
    """Round each element to a multiple of 2**-f.

    Args:
        a: the values.
        f: fraction bits, broadcasting against the values.
        round_mode: as in `Arrays.quantize`.

    Returns:
        The values rounded down, and the values rounded as asked.

    Raises:
        ConfigError: the mode is unknown.
    """
    goes_up = _choose(ROUND_UP, "round_mode", round_mode)
    places, size = a.exponent - integer(f), magnitude(a.data)
    up = np.maximum(-places, 0)
    # Dropping more places changes nothing once the value is below a quarter step.
    drop = np.minimum(np.maximum(places, 0), size.bit_length() + 2)
    bound = 4 * max(size << int(up.max(initial=0)), 1 << int(drop.max(initial=0)))
    data, up, drop, one = widen(bound, a.data, up, drop, np.ones_like(drop))
    value, step = data << up, one << drop
    floor = like(data, value >> drop)
    rest = value - (floor << drop)
    cut = _Cut(*(np.asarray(c) for c in (rest != 0, 2 * rest > step, 2 * rest == step, floor < 0, floor & 1 == 1)))
    arrays = Integers()
    return arrays.shift(pack(floor, 0), -integer(f)), arrays.shift(pack(floor + goes_up(cut), 0), -integer(f))


def limits(
    k: BitArray, i: BitArray, f: BitArray, overflow_mode: str
) -> tuple[IntegerArray, IntegerArray, IntegerArray]:
    """Describe fixed-point formats.

    Args:
        k: 1 where there is a sign.
        i: integer bits.
        f: fraction bits.
        overflow_mode: as in `Arrays.quantize`.

    Returns:
        Smallest value, largest value and step; both ends are 0 where no bit is left.

    Raises:
        ConfigError: the mode is unknown, or WRAP_SM meets a format without sign.
    """
    _choose(OVERFLOW, "overflow_mode", overflow_mode)
    k, i, f = np.broadcast_arrays(*map(integer, (k, i, f)))
    live = k + i + f > 0
    if overflow_mode == "WRAP_SM" and np.any(live & (k == 0)):
        raise ConfigError("WRAP_SM wraps sign and magnitude: it needs a sign. Received: k=0")
    arrays, one = Integers(), IntegerArray(np.ones_like(k), 0)
    power, ulp = arrays.shift(one, np.where(live, i, -f)), arrays.shift(one, -f)
    high = arrays.subtract(power, ulp)
    sign = IntegerArray(np.where(live, -k, 0), 0)
    return arrays.multiply(sign, high if overflow_mode == "SAT_SYM" else power), high, ulp


class Integers(Arrays[IntegerArray]):
    """`Arrays` on integers: int64 while a bound taken from the actual data allows it, Python integers beyond."""

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

    def shape(self, a: IntegerArray) -> tuple[int, ...]:
        return a.data.shape

    def add(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        exponent, (x, y) = aligned(a, b)
        x, y = widen(magnitude(x) + magnitude(y), x, y)
        return pack(x + y, exponent)

    def subtract(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        return self.add(a, self.negate(b))

    def negate(self, a: IntegerArray) -> IntegerArray:
        return IntegerArray(like(a.data, -a.data), a.exponent)

    def multiply(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        x, y = widen(magnitude(a.data) * magnitude(b.data), a.data, b.data)
        return pack(x * y, a.exponent + b.exponent)

    def shift(self, a: IntegerArray, n: BitArray) -> IntegerArray:
        places = integer(n)
        least = int(places.min()) if places.size else 0
        up = places - least
        data, up = widen(magnitude(a.data) << int(up.max(initial=0)), a.data, up)
        return pack(data << up, a.exponent - least)

    def einsum(self, equation: str, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        terms = contracted_size(equation, a.data.shape, b.data.shape)
        bound = magnitude(a.data) * magnitude(b.data) * terms
        if bound <= FLOAT64_LIMIT:
            # No partial sum can round, and float64 is what BLAS multiplies fast.
            x, y = a.data.astype(np.float64), b.data.astype(np.float64)
            return pack(np.asarray(np.einsum(equation, x, y, optimize=True)).astype(np.int64), a.exponent + b.exponent)
        x, y = widen(bound, a.data, b.data)
        return pack(np.einsum(equation, x, y, optimize=True), a.exponent + b.exponent)

    def sum(self, a: IntegerArray, axis: Axis, keepdims: bool = False) -> IntegerArray:
        axes = axis if isinstance(axis, tuple) else (axis,)
        terms = math.prod(a.data.shape[x] for x in axes)
        (data,) = widen(magnitude(a.data) * terms, a.data)
        return pack(data.sum(axis=axis, keepdims=keepdims), a.exponent)

    def maximum(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        exponent, (x, y) = aligned(a, b)
        return pack(np.maximum(x, y), exponent)

    def minimum(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        exponent, (x, y) = aligned(a, b)
        return pack(np.minimum(x, y), exponent)

    def less(self, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        _, (x, y) = aligned(a, b)
        return IntegerArray(np.asarray(x < y).astype(np.int64), 0)

    def select(self, condition: IntegerArray, a: IntegerArray, b: IntegerArray) -> IntegerArray:
        exponent, (x, y) = aligned(a, b)
        return pack(np.where(condition.data != 0, x, y), exponent)

    def quantize(
        self, a: IntegerArray, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str
    ) -> IntegerArray:
        overflow = _choose(OVERFLOW, "overflow_mode", overflow_mode)
        floor, q = rounded(a, f, round_mode)
        exponent, data = aligned(floor, q, *limits(k, i, f, overflow_mode))
        floor_data, q_data, *ends = widen(8 * max(magnitude(d) for d in data), *data)
        return pack(overflow(q_data, floor_data, _Limits(*ends)), exponent)

    def table(self, a: IntegerArray, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> IntegerArray:
        result = self.constant(function(table_inputs(a)))
        if result.data.shape != a.data.shape:
            raise ExactnessError(
                f"A table's function must be elementwise. Received: {a.data.shape} -> {result.data.shape}"
            )
        return result

    def reshape(self, a: IntegerArray, shape: Sequence[int]) -> IntegerArray:
        return IntegerArray(a.data.reshape(tuple(shape)), a.exponent)

    def transpose(self, a: IntegerArray, axes: Sequence[int]) -> IntegerArray:
        return IntegerArray(a.data.transpose(tuple(axes)), a.exponent)

    def concatenate(self, arrays: Sequence[IntegerArray], axis: int) -> IntegerArray:
        exponent, data = aligned(*arrays)
        return pack(np.concatenate(data, axis=axis), exponent)

    def broadcast(self, a: IntegerArray, shape: Sequence[int]) -> IntegerArray:
        return IntegerArray(np.broadcast_to(a.data, tuple(shape)), a.exponent)

    def gather(self, a: IntegerArray, indices: npt.ArrayLike, axis: int) -> IntegerArray:
        return IntegerArray(np.take(a.data, np.asarray(indices), axis=axis), a.exponent)

    def pad(self, a: IntegerArray, widths: Sequence[tuple[int, int]]) -> IntegerArray:
        return IntegerArray(np.pad(a.data, tuple(widths)), a.exponent)


def from_float(values: npt.ArrayLike) -> IntegerArray:
    """Return floats as an exact array; see `Arrays.constant`."""
    return Integers().constant(values)


def to_float(a: IntegerArray, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Return the floats nearest to the exact values, ties to even.

    Args:
        a: the exact values.
        dtype: the float type; the result is exact where its precision suffices.

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
    """Compare exact values with floats, elementwise and exactly.

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
