"""Sums of products, recorded: their operands brought to common units, and bounds of all that is added up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hgq2_core.exact import IntegerArray
from hgq2_core.exact.integer_array import NO_BITS, fraction_bits
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.errors import Unsupported
from hgq2_cpp.operand import CONSTANT, Ints, Operand, exact, in_units, size_of
from hgq2_cpp.recorder import Recorder

SLACK = 1 + 2.0**-40
"""What rounding may take off a bound that is added up in float64."""


def linear(recorder: Recorder, a: Operand, b: Operand) -> tuple[Ints, Ints]:
    """Record sums of products with constants.

    Args:
        recorder: of the program.
        a: data, (shared, rows, summed).
        b: constants, (shared, summed, columns).

    Returns:
        Rows and exponents of the sums, (shared, rows, columns).

    Raises:
        Unsupported: a sum needs more bits than the emulator has.
    """
    rows, most, zero = _in_common_units(recorder, a, 1)  # of each place of the sum, over all rows
    most = most.transpose(0, 2, 1)
    weights = b.bounds.lo
    used = (weights.data != 0) & ~np.asarray(zero.all(axis=1))[:, :, np.newaxis]
    fraction = np.where(used, fraction_bits(weights) + most, NO_BITS)
    own = fraction.max(axis=1)
    own = np.where(own <= NO_BITS // 2, 0, own)
    scaled = np.where(used, own[:, np.newaxis, :] - most, 0)
    integers = in_units(exact.select(IntegerArray(used.astype(np.int64), 0), weights, from_float(0.0)), scaled)
    units = np.zeros(a.shape, dtype=np.int64)
    totals = np.einsum("grk,gkc->grc", size_of(a.bounds, units), np.abs(to_float(weights))) * SLACK
    totals = np.ldexp(totals, own[:, np.newaxis, :].astype(np.int32))
    groups, places, columns = used.shape
    which, k = np.nonzero(used.transpose(0, 2, 1).reshape(groups * columns, places))
    start = np.searchsorted(which, np.arange(groups * columns + 1))
    flat = integers.transpose(0, 2, 1).reshape(groups * columns, places)
    if flat.dtype == object and max(map(abs, flat.ravel()), default=0) >= 2**63:
        raise Unsupported("a kernel needs more than 64 bits in units of its sums. Give its quantizer fewer bits.")
    tables = {"start": start, "k": k, "weight": flat[which, k].astype(np.int64)}
    out = recorder.matrix("linear", totals.shape, {"a": rows}, tables, totals)
    return out, np.broadcast_to(own[:, np.newaxis, :], out.shape)


def products(recorder: Recorder, a: Operand, b: Operand) -> tuple[Ints, Ints]:
    """Record sums of products of data.

    Args:
        recorder: of the program.
        a: data, (shared, rows, summed).
        b: data, (shared, summed, columns).

    Returns:
        Rows and exponents of the sums, (shared, rows, columns).

    Raises:
        Unsupported: a sum needs more bits than the emulator has.
    """
    (left, of_left, left_zero), (right, of_right, right_zero) = (
        _in_common_units(recorder, each, summed) for each, summed in ((a, 2), (b, 1))
    )
    sizes = (
        np.where(zero, 0, size_of(each.bounds, most))
        for each, most, zero in ((a, of_left, left_zero), (b, of_right, right_zero))
    )
    totals = np.einsum("grk,gkc->grc", *sizes) * SLACK
    out = recorder.matrix("products", totals.shape, {"a": left, "b": right.transpose(0, 2, 1)}, {}, totals)
    return out, np.broadcast_to(of_left + of_right, out.shape)


def _in_common_units(recorder: Recorder, a: Operand, axis: int) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """Return rows of one exponent along an axis, that exponent, and which numbers are always 0, which need none."""
    rows, exponent = recorder.with_rows(a)
    zero = (a.rows == CONSTANT) & (to_float(a.bounds.lo) == 0)
    most = np.where(zero, NO_BITS, exponent).max(axis=axis, keepdims=True)
    most = np.where(most <= NO_BITS // 2, 0, most)
    places = np.where(zero, 0, most - exponent)
    return recorder.shifted(rows, places, np.where(zero, 0, size_of(a.bounds, exponent))), most, zero
