"""Quantizers that round to no fixed-point format, as step functions: found from their exact statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.exact import IntegerArray, Integers
from hgq2_core.exact.integer_array import NO_BITS, aligned, fraction_bits, integer, shift
from hgq2_core.exact.integers import from_float
from hgq2_core.exporting.errors import Unsupported

Statement = Callable[[Any, IntegerArray], IntegerArray]
"""A quantizer's exact statement, of any `Arrays`."""

MOST_STEPS = 2**12
CHECKED = 2**10
SEED = 1


class StepFunction(NamedTuple):
    """A function that is constant between thresholds, with values of a fixed-point format.

    Args:
        k: 1 if a value is negative, else 0.
        i: integer bits of its values.
        f: fraction bits of its values.
        thresholds: rising; a number goes with the last threshold that it reaches.
        values: one more than thresholds, in units of 2^-f.
    """

    k: int
    i: int
    f: int
    thresholds: tuple[float, ...]
    values: tuple[int, ...]


class _Alike(Integers):
    """Integers that compute what is stated of each number by itself once for equal numbers."""

    @override
    def cheapest(self, a: IntegerArray, *alternatives: Callable[[IntegerArray], IntegerArray]) -> IntegerArray:
        distinct, where = np.unique(a.data, return_inverse=True)
        result = alternatives[0](IntegerArray(distinct[:, np.newaxis], a.exponent))
        return self.reshape(self.gather(result, where.ravel(), 0), a.data.shape)


def step_functions(statement: Statement, shape: Sequence[int], dtype: str, what: str) -> list[StepFunction]:
    """Return the step function of each number of a sample.

    The floats of the dtype are bisected between powers of two wherever the values differ, and the result is compared
    with the statement on further floats.

    Args:
        statement: of what the numbers go through, each by itself; its values must not depend on the batch.
        shape: of the operand, batch axis left out.
        dtype: of the input, a float type.
        what: the input's name, for messages.

    Raises:
        Unsupported: the statement is no function of at most 4096 steps.
    """
    floats = _Floats(dtype)
    arrays = _Alike()
    size = int(np.prod(shape))

    def values(ordinals: npt.NDArray[np.int64]) -> IntegerArray:
        batch = np.broadcast_to(floats.at(ordinals)[:, np.newaxis], (len(ordinals), size))
        return arrays.reshape(statement(arrays, from_float(batch.reshape(-1, *shape))), (len(ordinals), size))

    points, found = floats.seeds(), values(floats.seeds())
    while True:
        differs = (found.data[1:] != found.data[:-1]).any(axis=1)
        open_ = np.flatnonzero(differs & (np.diff(points) > 1))
        if not open_.size:
            break
        if differs.sum() > MOST_STEPS:
            raise Unsupported(
                f"what it does with input {what!r} first is no function of at most {MOST_STEPS} steps, which a host "
                "could apply. Say input_format=(k, i, f)."
            )
        middles = (points[open_] + points[open_ + 1]) // 2
        exponent, data = aligned(found, values(middles))
        points, order = np.unique(np.concatenate([points, middles]), return_index=True)
        found = IntegerArray(np.concatenate(data)[order], exponent)
    functions = [_function(floats, points, found.data[:, column], found.exponent) for column in range(size)]
    others = floats.others()
    _check(functions, floats.at(others), values(others), what)
    return functions


class _Floats:
    """The finite floats of a type in their order, counted from 0."""

    def __init__(self, dtype: str) -> None:
        wide = dtype == "float64"
        self.float: type[np.floating[Any]] = np.float64 if wide else np.float32
        self.whole: type[np.signedinteger[Any]] = np.int64 if wide else np.int32
        self.last = int(np.array(np.finfo(self.float).max, dtype=self.float).view(self.whole))

    def at(self, ordinals: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the floats at places of the order."""
        magnitudes = np.abs(ordinals).astype(self.whole).view(self.float).astype(np.float64)
        return np.where(ordinals < 0, -magnitudes, magnitudes)

    def seeds(self) -> npt.NDArray[np.int64]:
        """Return the places of 0, of the powers of two, and of the largest."""
        info = np.finfo(self.float)
        powers = np.ldexp(np.ones(1, self.float), np.arange(info.minexp - info.nmant, info.maxexp, dtype=np.int32))
        places = [*powers.view(self.whole).astype(np.int64).tolist(), self.last]
        return np.unique([0, *places, *(-place for place in places)]).astype(np.int64)

    def others(self) -> npt.NDArray[np.int64]:
        """Return random places."""
        return np.random.default_rng(SEED).integers(-self.last, self.last, CHECKED, endpoint=True)


def _function(floats: _Floats, points: npt.NDArray[np.int64], values: npt.NDArray[Any], exponent: int) -> StepFunction:
    rises = np.flatnonzero(values[1:] != values[:-1]) + 1
    chosen = IntegerArray(values[[0, *rises]], exponent)
    f = int(fraction_bits(chosen).max())
    f = 0 if f <= NO_BITS // 2 else f
    units = [int(n) << -scaled.exponent for scaled in [shift(chosen, f)] for n in scaled.data]
    k = int(min(units) < 0)
    bits = max((n if n >= 0 else -n - 1).bit_length() for n in units)
    return StepFunction(k, bits - f, f, tuple(floats.at(points[rises]).tolist()), tuple(units))


def _check(functions: Sequence[StepFunction], x: npt.NDArray[np.float64], wanted: IntegerArray, what: str) -> None:
    f = np.array([each.f for each in functions])
    got = np.stack(
        [np.array(each.values, dtype=object)[np.searchsorted(each.thresholds, x, "right")] for each in functions],
        axis=1,
    )
    if (Integers().subtract(shift(IntegerArray(got, 0), -integer(f)), wanted).data != 0).any():
        raise Unsupported(
            f"what it does with input {what!r} first is no step function that a host could apply. "
            "Say input_format=(k, i, f)."
        )
