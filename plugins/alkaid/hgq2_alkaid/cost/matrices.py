"""The adders of products with constant matrices, by alkaid's own search, but quickly and without a circuit."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from hgq2_alkaid.cost.circuit import Counts, counts_of
from hgq2_alkaid.cost.tables import LUT_INPUTS, fraction_bits_of, table_logic
from hgq2_alkaid.solver import blocks, digits
from hgq2_alkaid.solving import Problem, solved

Floats = npt.NDArray[np.float64]

DIGITS = 4_000
"""Nonzero digits of the matrices that are solved as a whole: a fourth of the exporter's, for 3 to 4 % more adders."""

RANGE = 10_000
"""More than the fraction bits of any weight."""

ROWS = 48
"""Rows of data, of different formats, that a matrix is solved for; further ones are taken to cost what these do."""


def count_matrix(low: Floats, high: Floats, step: Floats, kernel: Floats) -> Counts:
    """Return the logic of the products of rows of data with a constant matrix.

    Args:
        low: least values, (rows, inputs).
        high: largest values.
        step: their grids.
        kernel: (inputs, outputs).
    """
    rows, times = np.unique(np.stack([low, high, step], axis=-1), axis=0, return_counts=True)
    work = np.array([_work(row, kernel) for row in rows]) * times
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), ROWS)).astype(int))
    scale = work.sum() / counted if (counted := work[some].sum()) else 0.0
    total: Counts = {}
    for row, number in zip(rows[some], times[some], strict=True):
        varies = row[:, 0] < row[:, 1]
        _add(total, _count_row(row[varies], kernel[varies]), number * scale)
    return total


def _count_row(row: Floats, kernel: Floats) -> Counts:
    """Return the logic of the product of one row, (inputs, 3), with a matrix."""
    total: Counts = {}
    row, kernel = _looked_up(row, kernel, total)
    used = kernel.any(axis=1)
    row, kernel = row[used], kernel[used]
    # Alkaid's estimate does not see the powers of two that it takes out of a row of weights.
    bits = np.where(kernel != 0, fraction_bits_of(kernel), -RANGE).max(axis=1, initial=-RANGE, keepdims=True)
    row, kernel = row * np.ldexp(1.0, -bits), kernel * np.ldexp(1.0, bits)
    inputs = tuple((float(low), float(high), float(step), 0.0) for low, high, step in row)
    for columns in blocks(kernel, DIGITS):
        block = np.ascontiguousarray(kernel[:, columns], dtype=np.float32)
        if block.any():
            _add(total, adders(Problem(block.tobytes(), block.shape, inputs, search=False)))
    return total


def _looked_up(row: Floats, kernel: Floats, counts: Counts) -> tuple[Floats, Floats]:
    """Replace the one-bit inputs of each column, six by six, by the table of their sum, as alkaid does."""
    of_one_bit = row[:, 1] - row[:, 0] == row[:, 2]
    if (row[of_one_bit, 0] < 0).any():  # then it makes none
        return row, kernel
    rest = kernel.copy()
    inputs, added = [row], [rest]
    for column, weights in enumerate(kernel.T):
        active = np.flatnonzero(of_one_bit & (weights != 0))
        whole = len(active) // LUT_INPUTS * LUT_INPUTS
        for group in active[np.argsort(np.abs(weights[active]), kind="stable")][:whole].reshape(-1, LUT_INPUTS):
            bits = np.arange(2**LUT_INPUTS)[:, np.newaxis] >> np.arange(LUT_INPUTS) & 1
            entries = (row[group, 0] + bits * row[group, 2]) @ weights[group]
            _add(counts, table_logic(entries))
            inputs.append(np.array([[entries.min(), entries.max(), 2.0 ** -fraction_bits_of(entries).max()]]))
            added.append(np.eye(1, kernel.shape[1], column))
            rest[group, column] = 0
    return np.concatenate(inputs), np.concatenate(added)


@functools.lru_cache(maxsize=4096)
def adders(problem: Problem) -> Counts:
    """Return the logic of a product of one row and a constant matrix."""
    total: Counts = {}
    for part in solved(problem):
        signs = zip(part.out_idxs, part.out_negs, strict=True)
        negated = sum(sum(part.ops[index].qint.kif) for index, negative in signs if negative and index >= 0)
        _add(total, {**counts_of(part), "negate": negated})
    return total


def _add(total: Counts, counts: Counts, times: float = 1.0) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0.0) + times * count


def _work(row: Floats, kernel: Floats) -> float:
    """Return the bits of the signed digits' products."""
    low, high, step = row.T
    reach = np.where(low < high, (high - low) / step + 1, 1)
    return float(np.log2(reach) @ digits(kernel).sum(axis=1))
