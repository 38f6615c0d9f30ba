"""Where rows lie in memory: a row takes the place of one that nothing reads any more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hgq2_cpp.program import Program

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Plan:
    """Places of rows.

    Args:
        place: of each row among those of its type.
        narrow: number of places of int32.
        wide: number of places of int64.
    """

    place: Ints
    narrow: int
    wide: int


def plan(program: Program) -> Plan:
    """Give each row a place, constants and outputs one of their own."""
    last = np.full(len(program.wide), -1)
    for number, instruction in enumerate(program.instructions):
        for rows in instruction.rows.values():
            last[rows.ravel()] = number
        last[instruction.out.ravel()] = number
    kept = len(program.instructions)
    last[list(program.constants)] = kept
    for rows, _ in program.outputs:
        last[rows[rows >= 0]] = kept
    ending: list[list[int]] = [[] for _ in range(kept + 1)]
    for row, number in enumerate(last.tolist()):
        if number >= 0:
            ending[number].append(row)
    places = _Places(program)
    for row in [*program.constants, *program.inputs.values()]:
        places.take(row)
    for number, instruction in enumerate(program.instructions):
        for row in instruction.out.ravel().tolist():
            places.take(row)
        for row in ending[number]:
            places.give_back(row)
    return Plan(places.place, *places.count)


class _Places:
    def __init__(self, program: Program) -> None:
        self.place = np.full(len(program.wide), -1)
        self.count = [0, 0]
        self._wide = program.wide.astype(int).tolist()
        self._free: tuple[list[int], list[int]] = ([], [])

    def take(self, row: int) -> None:
        kind = self._wide[row]
        if not self._free[kind]:
            self._free[kind].append(self.count[kind])
            self.count[kind] += 1
        self.place[row] = self._free[kind].pop()

    def give_back(self, row: int) -> None:
        self._free[self._wide[row]].append(int(self.place[row]))
