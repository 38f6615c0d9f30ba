"""Programs interpreted with numpy: what the C++ computes, without a compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hgq2_core.errors import ExactnessError
from hgq2_core.exporting.inputs import Entry
from hgq2_cpp.program import NARROW_BITS, Instruction, Program

Ints = npt.NDArray[np.int64]

BLOCK = 256
"""Samples at once."""


def interpret(program: Program, entries: Sequence[Entry], inputs: Ints) -> Ints:
    """Return the integers of the outputs, (samples, numbers), outputs concatenated.

    Args:
        program: of a model.
        entries: the numbers that the host gives, in the order of the ports.
        inputs: their integers, (samples, entries).
    """
    parts = [_block(program, entries, inputs[n : n + BLOCK]) for n in range(0, len(inputs), BLOCK)]
    return np.concatenate(parts)


def _block(program: Program, entries: Sequence[Entry], inputs: Ints) -> Ints:
    rows = np.zeros((len(program.wide), len(inputs)), dtype=np.int64)
    for row, value in program.constants.items():
        rows[row] = value
    for number, entry in enumerate(entries):
        if entry in program.inputs:
            rows[program.inputs[entry]] = inputs[:, number]
    for instruction in program.instructions:
        rows[instruction.out] = OPS[instruction.op](instruction, {k: rows[v] for k, v in instruction.rows.items()})
        narrow = instruction.out[~program.wide[instruction.out]]
        if narrow.size and np.abs(rows[narrow]).max(initial=0) >= 2**NARROW_BITS:
            raise ExactnessError(f"{instruction.place}: a number does not fit its bound. Please report this fault.")
    return np.concatenate(
        [
            np.where(row[:, np.newaxis] < 0, how[:, np.newaxis], rows[row] >> np.where(row < 0, 0, how)[:, np.newaxis])
            for row, how in program.outputs
        ]
    ).T


def _quantize(instruction: Instruction, rows: Mapping[str, Ints]) -> Ints:
    up, down, p, q = (instruction.numbers[name][:, np.newaxis] for name in ("up", "down", "p", "q"))
    round_mode, overflow_mode = instruction.modes
    value = rows["a"] << up
    floor, half = value >> down, (1 << down) >> 1
    result = np.where(down == 0, value, (value + ROUND[round_mode](value, floor, half, down)) >> down)
    return np.asarray(OVERFLOW[overflow_mode](result, floor, p, q))


ROUND: Mapping[str, Callable[[Ints, Ints, Ints, Ints], Any]] = {
    "TRN": lambda value, floor, half, down: 0,
    "TRN_ZERO": lambda value, floor, half, down: np.where(value < 0, (1 << down) - 1, 0),
    "RND": lambda value, floor, half, down: half,
    "RND_ZERO": lambda value, floor, half, down: half - (value >= 0),
    "RND_INF": lambda value, floor, half, down: half - (value < 0),
    "RND_MIN_INF": lambda value, floor, half, down: half - 1,
    "RND_CONV": lambda value, floor, half, down: half - 1 + (floor & 1),
}
"""For each rounding mode, what is added before the bits below a step are cut off."""


def _wrap(value: Ints, signed: Ints, bits: Ints) -> Ints:
    low = np.where(signed != 0, (1 << bits) >> 1, 0)
    return ((value + low) & ((1 << bits) - 1)) - low


def _wrap_sign_magnitude(value: Ints, floor: Ints, bits: Ints) -> Ints:
    lost = np.where(value == 0, 0, floor) >> (bits + 1)
    wrapped = _wrap(value, np.ones_like(bits), bits + 1)
    return np.where((lost ^ (value >> bits)) & 1, -1 - wrapped, wrapped)


OVERFLOW: Mapping[str, Callable[[Ints, Ints, Ints, Ints], Any]] = {
    "NONE": lambda value, floor, p, q: value,
    "WRAP": lambda value, floor, p, q: _wrap(value, p, q),
    "WRAP_SM": lambda value, floor, p, q: _wrap_sign_magnitude(value, floor, q),
    "SAT": lambda value, floor, p, q: np.clip(value, p, q),
    "SAT_SYM": lambda value, floor, p, q: np.clip(value, p, q),
    "SAT_ZERO": lambda value, floor, p, q: np.where((value < p) | (value > q), 0, value),
}
"""For each overflow mode, the function of rounded values, of those cut off, and of two tables."""


def _table(instruction: Instruction, rows: Mapping[str, Ints]) -> Ints:
    down, first, start = (instruction.numbers[name][:, np.newaxis] for name in ("down", "first", "start"))
    return np.asarray(instruction.numbers["entries"][(rows["a"] >> down) - first + start])


def _linear(instruction: Instruction, rows: Mapping[str, Ints]) -> Ints:
    start, k, weight = (instruction.numbers[name] for name in ("start", "k", "weight"))
    groups, _, columns = instruction.out.shape
    matrix = np.zeros((len(start) - 1, rows["a"].shape[2]), dtype=np.int64)
    matrix[np.repeat(np.arange(len(start) - 1), np.diff(start)), k] = weight
    return np.asarray(np.einsum("grks,gck->grcs", rows["a"], matrix.reshape(groups, columns, -1)))


def _products(instruction: Instruction, rows: Mapping[str, Ints]) -> Ints:
    return np.asarray(np.einsum("grks,gcks->grcs", rows["a"], rows["b"]))


def _up(instruction: Instruction, rows: Mapping[str, Ints]) -> tuple[Ints, ...]:
    return tuple(rows[name] << instruction.numbers[f"up_{name}"][:, np.newaxis] for name in "ab")


def _select(instruction: Instruction, rows: Mapping[str, Ints]) -> Ints:
    return np.where(rows["c"] != 0, *_up(instruction, rows))


OPS: Mapping[str, Callable[[Instruction, Mapping[str, Ints]], Any]] = {
    "add": lambda instruction, rows: np.add(*_up(instruction, rows)),
    "subtract": lambda instruction, rows: np.subtract(*_up(instruction, rows)),
    "multiply": lambda instruction, rows: rows["a"] * rows["b"],
    "maximum": lambda instruction, rows: np.maximum(*_up(instruction, rows)),
    "minimum": lambda instruction, rows: np.minimum(*_up(instruction, rows)),
    "less": lambda instruction, rows: np.less(*_up(instruction, rows)),
    "select": _select,
    "shift": lambda instruction, rows: rows["a"] << instruction.numbers["places"][:, np.newaxis],
    "quantize": _quantize,
    "table": _table,
    "linear": _linear,
    "products": _products,
}
"""For each instruction, its function of the rows that it reads."""
