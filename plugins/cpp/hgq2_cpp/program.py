"""A model as a list of instructions on rows: integers of one place, one for each sample of a block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hgq2_core.exporting.inputs import Entry

Ints = npt.NDArray[np.int64]

NARROW_BITS, WIDE_BITS = 31, 62
"""Magnitudes stay below two to the power of these in int32 and in int64."""

TABLES = ("quantize", "table", "add", "subtract", "multiply", "maximum", "minimum", "less", "select", "shift")
"""The instructions that compute each row of `out` from the rows at the same place of the others."""


@dataclass(frozen=True, eq=False)
class Instruction:
    """One loop over rows.

    Args:
        op: what it computes, a function of the header of the same name.
        out: the rows that it sets.
        rows: the rows that it reads, by argument.
        numbers: tables of numbers, by argument; of elementwise instructions as long as `out`.
        modes: rounding and overflow mode of `quantize`.
        wide: whether it computes with int64.
        place: the layer, for messages.
    """

    op: str
    out: Ints
    rows: Mapping[str, Ints]
    numbers: Mapping[str, Ints] = field(default_factory=dict)
    modes: tuple[str, ...] = ()
    wide: bool = False
    place: str = ""

    @property
    def elementwise(self) -> bool:
        """Whether each row is computed by itself."""
        return self.op in TABLES

    @property
    def cost(self) -> float:
        """About how many loops over a block it takes."""
        if self.op == "linear":
            return float(self.numbers["weight"].size * self.out.shape[1]) + self.out.size
        if self.op == "products":
            return float(math.prod(self.rows["a"].shape) * self.out.shape[2]) + self.out.size
        entries = self.numbers["entries"].size / 64 if self.op == "table" else 0
        return (2.0 if self.op == "table" else 1.0) * self.out.size + entries

    def kept(self, live: npt.NDArray[np.bool_]) -> Instruction:
        """Return an elementwise instruction with some of its rows."""
        numbers = {name: each if name == "entries" else each[live] for name, each in self.numbers.items()}
        return replace(
            self, out=self.out[live], rows={name: each[live] for name, each in self.rows.items()}, numbers=numbers
        )


@dataclass(frozen=True, eq=False)
class Program:
    """A model as instructions.

    Args:
        instructions: in order; each row is set once.
        wide: of each row, whether it is int64.
        constants: rows that hold a constant, and it.
        inputs: rows that the host sets, by the number that it gives.
        outputs: for each output of the model, the row and the shift to the right of each number; a row of -1 for a
            constant, which is in place of the shift.
    """

    instructions: tuple[Instruction, ...]
    wide: npt.NDArray[np.bool_]
    constants: Mapping[int, int]
    inputs: Mapping[Entry, int]
    outputs: tuple[tuple[Ints, Ints], ...]


def optimized(program: Program) -> Program:
    """Return a program without what no output needs, and neighbours of a kind as one instruction."""
    needed = np.zeros(len(program.wide), dtype=bool)
    for rows, _ in program.outputs:
        needed[rows[rows >= 0]] = True
    kept: list[Instruction] = []
    for instruction in reversed(program.instructions):
        live = needed[instruction.out]
        if not live.any():
            continue
        kept.append(instruction.kept(live) if instruction.elementwise and not live.all() else instruction)
        for rows in kept[-1].rows.values():
            needed[rows.ravel()] = True
    constants = {row: value for row, value in program.constants.items() if needed[row]}
    inputs = {entry: row for entry, row in program.inputs.items() if needed[row]}
    merged = tuple(_merged(reversed(kept), program.wide))
    return replace(program, instructions=merged, constants=constants, inputs=inputs)


def _merged(instructions: Iterable[Instruction], wide: npt.NDArray[np.bool_]) -> list[Instruction]:
    groups: list[list[Instruction]] = []
    for each in instructions:
        if groups and _alike(groups[-1], each, wide):
            groups[-1].append(each)
        else:
            groups.append([each])
    return [_joined(group) for group in groups]


def _alike(group: list[Instruction], other: Instruction, wide: npt.NDArray[np.bool_]) -> bool:
    first = group[0]
    if not first.elementwise or _sort(first, wide) != _sort(other, wide):
        return False
    earliest = first.out.min()  # rows are numbered in order
    return all(rows.max(initial=-1) < earliest for rows in other.rows.values())


def _sort(instruction: Instruction, wide: npt.NDArray[np.bool_]) -> tuple[Any, ...]:
    return (
        instruction.op,
        instruction.modes,
        instruction.wide,
        bool(wide[instruction.out.ravel()[0]]),
        tuple(bool(wide[rows.ravel()[0]]) for rows in instruction.rows.values()),
    )


def _joined(group: list[Instruction]) -> Instruction:
    first = group[0]
    if len(group) == 1:
        return first
    numbers = {name: [each.numbers[name] for each in group] for name in first.numbers}
    if first.op == "table":  # the entries of one lie behind those of the one before
        starts = np.cumsum([0, *(entries.size for entries in numbers["entries"][:-1])])
        numbers["start"] = [start + own for start, own in zip(starts, numbers["start"], strict=True)]
    return replace(
        first,
        out=np.concatenate([each.out for each in group]),
        rows={name: np.concatenate([each.rows[name] for each in group]) for name in first.rows},
        numbers={name: np.concatenate(parts) for name, parts in numbers.items()},
    )
