"""The rows and instructions of a program while it is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hgq2_core.exact import IntegerArray, IntervalArray
from hgq2_core.exact.integer_array import NO_BITS, fraction_bits
from hgq2_core.exporting.errors import Unsupported
from hgq2_core.exporting.inputs import Entry
from hgq2_cpp.operand import CONSTANT, Floats, Ints, Operand, exact, in_units, size_of
from hgq2_cpp.program import NARROW_BITS, WIDE_BITS, Instruction, Program

NONE: Mapping[str, Ints] = {}


class Recorder:
    """Collects instructions, and numbers rows in the order in which they are set."""

    def __init__(self) -> None:
        self.place = ""
        self.instructions: list[Instruction] = []
        self._wide: list[bool] = []
        self._constants: dict[int, int] = {}
        self._constant_rows: dict[tuple[int, int], int] = {}
        self._inputs: dict[Entry, int] = {}
        self._shifted: dict[tuple[int, int, bool], int] = {}

    def input(self, entry: Entry) -> int:
        """Return the row of a number that the host gives, in units of 2^-f of its format."""
        if entry not in self._inputs:
            self._inputs[entry] = self._new(1, sum(entry.format[:3]) > NARROW_BITS)[0]
        return int(self._inputs[entry])

    def wide(self, rows: Ints) -> npt.NDArray[np.bool_]:
        """Return for each row whether it is int64."""
        return np.array(self._wide, dtype=bool)[rows] if len(self._wide) else np.zeros(rows.shape, dtype=bool)

    def with_rows(self, a: Operand) -> tuple[Ints, Ints]:
        """Return the row and the exponent of each number, constants in rows of their own."""
        if not (a.rows == CONSTANT).any():
            return a.rows, a.exponent
        where = a.rows == CONSTANT
        values = IntegerArray(a.bounds.lo.data[where], a.bounds.lo.exponent)
        bits = fraction_bits(values)
        own = np.where(bits <= NO_BITS // 2, 0, bits)
        rows, exponent = a.rows.copy(), a.exponent.copy()
        units = in_units(values, own)
        rows[where] = [self._constant(int(n), int(e)) for n, e in zip(units, own, strict=True)]
        exponent[where] = own
        return rows, exponent

    def _constant(self, value: int, exponent: int) -> int:
        key = value, exponent if value else 0
        if key not in self._constant_rows:
            row = int(self._new(1, self._needs_wide(np.array([abs(float(value))]), "a constant"))[0])
            self._constant_rows[key] = row
            self._constants[row] = value
        return self._constant_rows[key]

    def elementwise(
        self,
        op: str,
        rows: Mapping[str, Ints],
        numbers: Mapping[str, Ints],
        sizes: Floats,
        bounds: IntervalArray,
        exponent: Ints,
        modes: tuple[str, ...] = (),
    ) -> Ints:
        """Record an instruction on each number by itself; one for each combination of the types that it reads.

        Args:
            op: the instruction.
            rows: of its arguments, all of one dimension and length.
            numbers: its tables, of the same length.
            sizes: the largest magnitude of anything that it computes for each number.
            bounds: of the results.
            exponent: fraction bits of the results.
            modes: of `quantize`.

        Returns:
            The rows of the results.
        """
        results = size_of(bounds, exponent)
        out = np.zeros(len(results), dtype=np.int64)
        types = np.stack([self.wide(each) for each in rows.values()] + [results >= 2.0**NARROW_BITS], axis=1)
        for wanted in np.unique(types, axis=0):
            here = (types == wanted).all(axis=1)
            wide = self._needs_wide(np.maximum(sizes[here], results[here]), f"what {op} computes") or bool(wanted.any())
            out[here] = self._new(int(here.sum()), bool(wanted[-1]))
            self._record(
                op,
                out[here],
                {name: each[here] for name, each in rows.items()},
                {name: each if name == "entries" else each[here] for name, each in numbers.items()},
                modes,
                wide,
            )
        return out

    def matrix(
        self, op: str, shape: Sequence[int], rows: Mapping[str, Ints], numbers: Mapping[str, Ints], sizes: Floats
    ) -> Ints:
        """Record an instruction of sums of products.

        Args:
            op: `linear` or `products`.
            shape: of the results.
            rows: of its arguments.
            numbers: its tables.
            sizes: an upper bound of the magnitudes of each sum's terms together.

        Returns:
            The rows of the results.
        """
        wide = self._needs_wide(sizes.ravel(), "a sum of products")
        alike = {name: self._of_one_type(each) for name, each in rows.items()}
        out = self._new(int(np.prod(shape)), wide).reshape(tuple(shape))
        self._record(op, out, alike, numbers, (), wide)
        return out

    def shifted(self, rows: Ints, places: Ints, sizes: Floats) -> Ints:
        """Return rows whose integers are shifted to the left, each recorded once.

        Args:
            rows: of any shape.
            places: of the same shape, not negative.
            sizes: the largest magnitudes before the shift.
        """
        wide = self._needs_wide(np.ldexp(sizes, places.astype(np.int32)).ravel(), "a number, in units of others,")
        return self._moved(rows, places, wide)

    def _of_one_type(self, rows: Ints) -> Ints:
        wide = self.wide(rows)
        return rows if wide.all() or not wide.any() else self._moved(rows, np.zeros_like(rows), True)

    def _moved(self, rows: Ints, places: Ints, wide: bool) -> Ints:
        result, own = rows.copy(), self.wide(rows)
        moves = (places > 0) | (own != wide) if wide else places > 0
        wanted = {(int(r), int(p), wide) for r, p in zip(rows[moves], places[moves], strict=True)}
        for source in (False, True):
            missing = sorted(key for key in wanted - self._shifted.keys() if self._wide[key[0]] == source)
            if not missing:
                continue
            out = self._new(len(missing), wide)
            table = np.array([key[:2] for key in missing], dtype=np.int64)
            self._record("shift", out, {"a": table[:, 0]}, {"places": table[:, 1]}, (), wide or source)
            self._shifted.update(zip(missing, out.tolist(), strict=True))
        result[moves] = [self._shifted[int(r), int(p), wide] for r, p in zip(rows[moves], places[moves], strict=True)]
        return result

    def _record(
        self,
        op: str,
        out: Ints,
        rows: Mapping[str, Ints],
        numbers: Mapping[str, Ints],
        modes: tuple[str, ...],
        wide: bool,
    ) -> None:
        self.instructions.append(Instruction(op, out, rows, numbers, modes, wide, self.place))

    def _new(self, count: int, wide: bool) -> Ints:
        first = len(self._wide)
        self._wide += [wide] * count
        return np.arange(first, first + count, dtype=np.int64)

    def _needs_wide(self, sizes: Floats, what: str) -> bool:
        largest = float(sizes.max(initial=0.0))
        if largest >= 2.0**WIDE_BITS:
            raise Unsupported(
                f"{what} needs {int(np.frexp(largest)[1]) + 1} bits, and the emulator computes with integers of 64, of "
                f"which it uses {WIDE_BITS + 1}. Give its quantizers fewer bits."
            )
        return largest >= 2.0**NARROW_BITS

    def program(self, outputs: Sequence[tuple[Ints, Ints]]) -> Program:
        """Return what was recorded.

        Args:
            outputs: see `Program`.
        """
        wide = np.array(self._wide, dtype=bool)
        return Program(tuple(self.instructions), wide, self._constants, self._inputs, tuple(outputs))


def aligned(a: tuple[Ints, IntervalArray], b: tuple[Ints, IntervalArray]) -> tuple[Ints, tuple[Ints, Ints]]:
    """Return the larger exponent of each pair of numbers, and how far both are shifted to it.

    A zero takes the exponent of its partner: to shift it by the bits of a type or more is undefined in C++.

    Args:
        a: exponents and bounds.
        b: exponents and bounds.
    """
    zeros = [(bounds.lo.data == 0) & (bounds.hi.data == 0) for _, bounds in (a, b)]
    first, second = np.where(zeros[0], b[0], a[0]), np.where(zeros[1], a[0], b[0])
    most = np.maximum(first, second)
    return most, (most - first, most - second)


def constants_of(values: IntegerArray, where: npt.NDArray[np.bool_], bounds: IntervalArray) -> IntervalArray:
    """Return bounds in which some numbers are constants."""
    at = IntegerArray(where.astype(np.int64), 0)
    low, high = exact.select(at, values, bounds.lo), exact.select(at, values, bounds.hi)
    return IntervalArray(low, high, np.where(where, fraction_bits(values), bounds.step))
