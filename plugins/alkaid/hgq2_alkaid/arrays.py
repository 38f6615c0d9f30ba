"""The array interface of exact arithmetic, traced into a circuit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import frexp, inf, ldexp
from typing import Any

import numpy as np
import numpy.typing as npt
from alkaid.trace import FVariable, FVArray, HWConfig, trace
from typing_extensions import override

from hgq2_alkaid.rounding import quantized
from hgq2_alkaid.solver import Solver
from hgq2_core.exact import Integers
from hgq2_core.exact.arrays import Arrays, Axis, BitArray
from hgq2_core.exact.integer_array import NO_BITS, fraction_bits
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.contraction import einsum
from hgq2_core.exporting.errors import Unquantized, Unsupported
from hgq2_core.exporting.inputs import Entry, Format, HostInputs, RawNumber

Operand = npt.NDArray[Any]
"""Constants as float64, everything else as objects: traced variables, constants, and inputs not yet quantized."""

CONSTANT_BITS, TABLE_BITS = 31, 24
"""Alkaid stores the constants of additions as int32, and derives the step of a table's entries in float32."""

FINEST_STEP = -127
"""Exponent of the smallest step, since alkaid stores shifts in eight bits."""

TABLE_INPUT_BITS = 16
"""Limit on the input of a table, which becomes one case per value: tools cannot read larger files."""


class HardwareArrays(Arrays[Operand]):
    """`Arrays` on alkaid's traced variables: an operation on data becomes gates, one on constants a constant.

    Args:
        hwconf: alkaid's adder size, carry size and latency cutoff.
        inputs: the model's inputs.
        solver: makes adders of products with constants.
    """

    def __init__(self, hwconf: HWConfig, inputs: HostInputs | None = None, solver: Solver | None = None) -> None:
        self.hwconf = hwconf
        self.solver = Solver(hwconf) if solver is None else solver
        self.inputs = HostInputs(()) if inputs is None else inputs
        self._entered: dict[Entry, FVariable] = {}

    def entered(self, entry: Entry) -> FVariable:
        """Return the circuit's input for a number that the host gives."""
        if entry not in self._entered:
            self._entered[entry] = input_variable(entry, self.hwconf)
        return self._entered[entry]

    def resolved(self, x: Any) -> Any:
        """Return an element of an operand, or the circuit's input for one that was not quantized where it was seen."""
        return self.entered(self.inputs.entries_of(x)[0]) if isinstance(x, RawNumber) else x

    @override
    def constant(self, values: npt.ArrayLike) -> Operand:
        exact = from_float(values)
        constants = to_float(exact)
        bits = fraction_bits(exact)
        steps = np.ldexp(np.abs(constants), np.where(bits == NO_BITS, 0, bits).astype(np.int32))
        if steps.max(initial=0.0) >= 2.0**CONSTANT_BITS:
            raise Unsupported(f"a constant needs more than {CONSTANT_BITS} bits, which alkaid cannot hold.")
        return constants

    @override
    def shape(self, a: Operand) -> tuple[int, ...]:
        return a.shape

    @override
    def add(self, a: Operand, b: Operand) -> Operand:
        return self._each(lambda x, y: x + y, a, b)

    @override
    def subtract(self, a: Operand, b: Operand) -> Operand:
        return self._each(lambda x, y: x - y, a, b)

    @override
    def negate(self, a: Operand) -> Operand:
        return self._each(lambda x: -x, a)

    @override
    def multiply(self, a: Operand, b: Operand) -> Operand:
        return self._each(lambda x, y: x * y, a, b)

    @override
    def shift(self, a: Operand, n: BitArray) -> Operand:
        return self._each(lambda x, places: x * ldexp(1.0, places), a, numbers=(n,))

    @override
    def einsum(self, equation: str, a: Operand, b: Operand) -> Operand:
        if a.dtype != object and b.dtype != object:
            return to_float(Integers().einsum(equation, from_float(a), from_float(b)))
        if a.dtype != object:
            inputs, output = equation.replace(" ", "").split("->")
            return self.einsum(f"{','.join(inputs.split(',')[::-1])}->{output}", b, a)
        if b.dtype == object:
            return einsum(equation, self.variables(a), self.variables(b), self._products)
        if not np.array_equal(b, b.astype(np.float32)):
            raise Unsupported("a kernel needs more bits than float32 has, in which alkaid takes it.")
        rows = self.variables(a)
        einsum(equation, rows, b, self._want)
        self.solver.solve()
        return einsum(equation, rows, b, self._product)

    @override
    def sum(self, a: Operand, axis: Axis, keepdims: bool = False) -> Operand:
        return _objects(np.sum(self._traced(a), axis=axis, keepdims=keepdims))

    @override
    def maximum(self, a: Operand, b: Operand) -> Operand:
        return self._each(_larger, a, b)

    @override
    def minimum(self, a: Operand, b: Operand) -> Operand:
        return self._each(_smaller, a, b)

    @override
    def less(self, a: Operand, b: Operand) -> Operand:
        return self._each(lambda x, y: (x - y).is_negative(), a, b)

    @override
    def select(self, condition: Operand, a: Operand, b: Operand) -> Operand:
        return self._each(lambda c, x, y: c.msb_mux(x, y), condition, a, b)

    @override
    def quantize(
        self, a: Operand, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str
    ) -> Operand:
        def one(x: Any, k: int, i: int, f: int) -> FVariable:
            if f > -FINEST_STEP:
                raise Unsupported(f"values in steps of 2^{-f}. Alkaid's smallest step is 2^{FINEST_STEP}.")
            if isinstance(x, RawNumber):
                return self.entered(self.inputs.enter(x, Format(k, i, f, round_mode, overflow_mode)))
            return quantized(self._variable(x), k, i, f, round_mode, overflow_mode)

        return _map(one, a, *(_integers(bits) for bits in (k, i, f)))

    @override
    def quantizer(self, a: Operand, statement: Callable[[Arrays[Any], Any], Any]) -> Operand:
        try:
            result: Operand = statement(self, a)
        except Unquantized:  # the host applies it, as a function of steps
            entered = self.inputs.enter_steps(a, statement)
            return _map(lambda x: self.entered(x) if isinstance(x, Entry) else x, entered)
        return result

    @override
    def exponents(self, a: Operand) -> tuple[int, int]:
        present = [x for x in self.variables(a).ravel() if x.low < 0 or x.high > 0]
        if not present:
            return 0, 0
        largest = max(max(abs(x.low), abs(x.high)) for x in present)
        return -max(x.kif[2] for x in present), frexp(largest)[1] - 1

    @override
    def table(self, a: Operand, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> Operand:
        def entries(grid: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            values = np.asarray(function(grid), dtype=np.float64)
            exact = from_float(values)
            step = int(fraction_bits(exact).max(initial=0))
            if np.abs(values).max() * ldexp(1.0, step) >= 2.0**TABLE_BITS:
                raise Unsupported(f"the entries of a table need more than {TABLE_BITS} bits.")
            return values

        traced = self.variables(a)
        width = max((sum(variable.kif) for variable in traced.ravel()), default=0)
        if width > TABLE_INPUT_BITS:
            raise Unsupported(f"a table of more than {TABLE_INPUT_BITS} bits of input. Received: {width} bits.")
        return _objects(self._traced(traced).apply(entries).quantize())

    @override
    def cheapest(self, a: Operand, *alternatives: Callable[[Operand], Operand]) -> Operand:
        formats = Counter(tuple(x.kif) for x in self.variables(a).ravel())
        costs = [sum(self._cost(statement, *kif) * formats[kif] for kif in formats) for statement in alternatives]
        return alternatives[costs.index(min(costs))](a)

    @override
    def reshape(self, a: Operand, shape: Sequence[int]) -> Operand:
        return a.reshape(tuple(shape))

    @override
    def transpose(self, a: Operand, axes: Sequence[int]) -> Operand:
        return a.transpose(tuple(axes))

    @override
    def concatenate(self, arrays: Sequence[Operand], axis: int) -> Operand:
        return np.concatenate(arrays, axis=axis)

    @override
    def broadcast(self, a: Operand, shape: Sequence[int]) -> Operand:
        return np.broadcast_to(a, tuple(shape))

    @override
    def gather(self, a: Operand, indices: npt.ArrayLike, axis: int) -> Operand:
        return np.take(a, np.asarray(indices), axis=axis)

    @override
    def pad(self, a: Operand, widths: Sequence[tuple[int, int]]) -> Operand:
        return np.pad(a, tuple(widths), constant_values=0.0)

    def variables(self, a: Operand) -> Operand:
        """Return every element as a traced variable, including constants.

        Raises:
            Unsupported: no quantizer has set the format of an input.
        """
        return _map(self._variable, a)

    def _each(self, function: Callable[..., Any], *operands: Operand, numbers: tuple[BitArray, ...] = ()) -> Operand:
        traced = [self.variables(operand) for operand in operands]
        return _map(function, *traced, *(_integers(each) for each in numbers))

    def _product(self, row: Operand, kernel: Operand) -> Operand:
        """Return data times a constant kernel; constants are handled here, since alkaid fails without any data."""
        constant = np.array([x.low == x.high for x in row])
        known = np.array([x.low for x in row[constant]])
        result = to_float(Integers().einsum("i,io->o", from_float(known), from_float(kernel[constant]))).astype(object)
        if not kernel[~constant].any():
            return result
        return self.add(result, self.solver.product(row[~constant], kernel[~constant]))

    def _want(self, row: Operand, kernel: Operand) -> Operand:
        data = np.array([x.low < x.high for x in row])
        if kernel[data].any():
            self.solver.want(row[data], kernel[data])
        return np.zeros(kernel.shape[1])

    def _products(self, row: Operand, matrix: Operand) -> Operand:
        """Return data times data."""
        return self.sum(self.multiply(row[:, np.newaxis], matrix), axis=0)

    def _cost(self, statement: Callable[[Operand], Operand], k: int, i: int, f: int) -> float:
        """Return the cost of a function for one number of a format; infinite if it has no circuit."""
        alone = _objects([FVariable.from_kif(k, i, f, hwconf=self.hwconf)])
        try:
            return float(trace(list(alone), list(self.variables(statement(alone)))).cost)
        except Unsupported:
            return inf

    def _traced(self, a: Operand) -> FVArray:
        return FVArray(self.variables(a), hwconf=self.hwconf)

    def _variable(self, x: Any) -> FVariable:
        if isinstance(x, RawNumber):
            return self.entered(self.inputs.enter_unquantized(x))
        return x if isinstance(x, FVariable) else FVariable.from_const(float(x), self.hwconf)


def input_variable(entry: Entry, hwconf: HWConfig) -> FVariable:
    """Return an input of a circuit for a number that the host gives."""
    # All values of the bits, also for SAT_SYM: alkaid traces again from the bits alone, and a table must fit both
    # times.
    least, most = entry.bounds
    step = ldexp(1.0, -entry.format.f) if least < most else 1.0
    return FVariable(least, most, step, hwconf=hwconf)


def _larger(x: FVariable, y: FVariable) -> FVariable:
    """Return the maximum; alkaid takes the highest bit of the difference for a sign, even of an unsigned one."""
    difference = x - y
    if difference.low >= 0:
        return x
    return y if difference.high <= 0 else x.max_of(y)


def _smaller(x: FVariable, y: FVariable) -> FVariable:
    """Return the minimum; see `_larger`."""
    difference = x - y
    if difference.low >= 0:
        return y
    return x if difference.high <= 0 else x.min_of(y)


def _map(function: Callable[..., Any], *operands: Any) -> Operand:
    """Return a function of single elements applied to arrays, which are broadcast."""
    arrays = np.broadcast_arrays(*operands)
    result = np.empty(arrays[0].size, dtype=object)
    for place, values in enumerate(zip(*(array.ravel() for array in arrays), strict=True)):
        result[place] = function(*values)
    return result.reshape(arrays[0].shape)


def _objects(traced: Any) -> Operand:
    """Return a result of alkaid (an array, one variable, or numbers) as an array of objects."""
    result = np.empty(np.shape(traced), dtype=object)
    result[...] = np.asarray(traced, dtype=object)
    return result


def _integers(bits: BitArray) -> Operand:
    # Python integers, since alkaid writes them to files unchanged.
    return np.asarray(bits).astype(np.int64, casting="same_kind").astype(object)
