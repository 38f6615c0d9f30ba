"""Tables of functions: a Gather of their entries, for every multiple of a step between two ends."""

from __future__ import annotations

from collections.abc import Callable
from math import ldexp
from typing import TYPE_CHECKING, Any

import numpy as np

from hgq2_core.exporting.errors import Unsupported
from hgq2_qonnx.operand import PRECISION, Operand, ends

if TYPE_CHECKING:
    from hgq2_qonnx.arrays import QonnxArrays

MOST_ENTRIES = 2**16


def looked_up(arrays: QonnxArrays, a: Operand, function: Callable[[Any], Any]) -> str:
    """Record the lookup of a function in one table for all numbers, and return its tensor.

    Args:
        arrays: which record.
        a: numbers, one of which varies at least.
        function: elementwise, of float64.

    Raises:
        Unsupported: the table has too many entries, or float32 would round one.
    """
    lows, highs = ends(a.bounds)
    low, high, step = float(lows.min()), float(highs.max()), int(a.bounds.step.max())
    points = ldexp(high - low, step) + 1
    if points > MOST_ENTRIES:
        raise Unsupported(f"a table of {points:.0f} entries. At most: {MOST_ENTRIES}. Give its input fewer bits.")
    grid = low + ldexp(1.0, -step) * np.arange(int(points), dtype=np.float64)
    with np.errstate(all="ignore"):  # some entries lie between the values that come
        entries = np.asarray(function(grid), dtype=np.float64)
    read = np.zeros(len(grid), dtype=np.bool_)
    for first, last, own in set(zip(lows.ravel(), highs.ravel(), a.bounds.step.ravel().tolist(), strict=True)):
        start, stop = (int(ldexp(end - low, step)) for end in (first, last))
        read[start : stop + 1 : 1 << max(step - own, 0) if start != stop else 1] = True
    entries = np.where(read, entries, 0.0)
    if (entries != entries.astype(np.float32)).any():
        raise Unsupported(
            f"a table with entries of more than {PRECISION} bits, which float32 would round. Give its quantizer fewer."
        )
    place = arrays.shift(arrays.subtract(a, arrays.constant(low)), step)
    index = arrays.graph.add("Cast", [place.name], a.shape, to="int64")
    return arrays.graph.add("Gather", [arrays.graph.constant(entries), index], a.shape, axis=0)
