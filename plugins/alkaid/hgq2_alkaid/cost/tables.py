"""The logic of a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hgq2_core.exact.integer_array import NO_BITS, fraction_bits
from hgq2_core.exact.intervals import Intervals

Floats = npt.NDArray[np.float64]

LUT_INPUTS = 6


def table_logic(entries: Floats) -> dict[str, float]:
    """Return the LUTs of a table's bits, those with the same contents once, and the bits that choose among them."""
    exact = np.ldexp(entries, fraction_bits_of(entries).max(initial=0)).astype(np.int64)
    size = 1 << max(len(entries) - 1, 1).bit_length()
    padded = np.concatenate([exact, np.full(size - len(exact), exact[-1])])
    wide = int(np.bitwise_or.reduce(padded ^ padded[0])).bit_length()
    logic, chosen = 0, 0
    for bit in range(min(wide, 62)):
        blocks = ((padded >> bit) & 1).reshape(-1, min(size, 1 << LUT_INPUTS))
        different = np.unique(blocks, axis=0)
        logic += int((different.min(axis=1) != different.max(axis=1)).sum())
        chosen += len(different) - 1
    return {"table": float(logic), "table_choice": float(chosen)}


def fraction_bits_of(values: Floats) -> npt.NDArray[np.int32]:
    """Return the fraction bits of each number, 0 of a zero."""
    found = fraction_bits(Intervals().constant(values).lo)
    return np.where(found == NO_BITS, 0, found).astype(np.int32)
