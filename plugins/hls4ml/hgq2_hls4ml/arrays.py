"""The array interface of exact arithmetic, recorded as nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.exact import Arrays, IntegerArray, Integers, IntervalArray, Intervals
from hgq2_core.exact.arrays import Axis, BitArray
from hgq2_core.exact.integer_array import fraction_bits, integer
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.contraction import Contraction
from hgq2_core.exporting.errors import Unquantized, Unsupported
from hgq2_core.exporting.formats import formats
from hgq2_core.exporting.inputs import Entry, Format, HostInputs, objects
from hgq2_hls4ml.nodes import Constant, Elementwise, Input, Node, Numbers, Product, Quantized, Table, Wires
from hgq2_hls4ml.record import Record

TABLE_INPUT_BITS = 16
"""Limit on the input of a table, whose entries stand in the code."""


@dataclass(frozen=True, eq=False)
class Signal:
    """An operand: the index of each element's number; below 0 that of an input's number before any quantizer."""

    numbers: Numbers


class Recorder(Arrays[Signal]):
    """`Arrays` on indices of numbers: moving them is numpy's work, and computing appends a node.

    Every node has the bounds that `Intervals` gives it, from which its type follows.

    Args:
        host: the model's inputs.
    """

    def __init__(self, host: HostInputs) -> None:
        self.record = Record()
        self.host = host
        self.path = "model"
        """The layer that computes, after which nodes are named."""
        self.entered: dict[Entry, int] = {}
        """The numbers that the host gives, in the order in which they came to be read."""
        self._raw = [number for tensor in host.raw() for number in tensor.ravel()]

    def raw(self) -> list[Signal]:
        """Return each of the model's inputs, with a batch of 1."""
        starts = np.cumsum([0, *(each.size for each in self.host.raw())])
        shaped = zip(starts, self.host.raw(), strict=False)
        return [Signal(-1 - np.arange(start, start + each.size).reshape(each.shape)) for start, each in shaped]

    @override
    def constant(self, values: npt.ArrayLike) -> Signal:
        return Signal(self._constant(from_float(values)))

    @override
    def shape(self, a: Signal) -> tuple[int, ...]:
        return a.numbers.shape

    @override
    def add(self, a: Signal, b: Signal) -> Signal:
        return self._each("add", a, b)

    @override
    def subtract(self, a: Signal, b: Signal) -> Signal:
        return self._each("subtract", a, b)

    @override
    def negate(self, a: Signal) -> Signal:
        return self._each("negate", a)

    @override
    def multiply(self, a: Signal, b: Signal) -> Signal:
        return self._each("multiply", a, b)

    @override
    def shift(self, a: Signal, n: BitArray) -> Signal:
        return self.multiply(a, self.constant(np.ldexp(1.0, integer(n))))

    @override
    def einsum(self, equation: str, a: Signal, b: Signal) -> Signal:
        left, right = self._known(a), self._known(b)
        if self.record.constant(left) and not self.record.constant(right):
            inputs, output = equation.replace(" ", "").split("->")
            return self.einsum(f"{','.join(inputs.split(',')[::-1])}->{output}", b, a)
        matrices = Contraction(equation, left.shape, right.shape)
        left, right = matrices.left(left), matrices.right(right)
        (groups, rows, terms), columns = left.shape, right.shape[2]
        if terms == 1:
            return Signal(matrices.output(self.multiply(Signal(left), Signal(right)).numbers))
        operands = self._whole(left.ravel()), self._whole(right.ravel())
        product = self._record(Product(operands, groups, rows, terms, columns))
        return Signal(matrices.output(product.reshape(groups, rows, columns)))

    @override
    def sum(self, a: Signal, axis: Axis, keepdims: bool = False) -> Signal:
        shape = a.numbers.shape
        axes = [each % len(shape) for each in (axis if isinstance(axis, tuple) else (axis,))]
        rest = [each for each in range(len(shape)) if each not in axes]
        kept = [1 if place in axes else size for place, size in enumerate(shape) if keepdims or place in rest]
        terms = prod(shape[each] for each in axes)
        rows = Signal(a.numbers.transpose([*rest, *axes]).reshape(-1, terms))
        return self.reshape(self.einsum("rt,tc->rc", rows, self.constant(np.ones((terms, 1)))), kept)

    @override
    def maximum(self, a: Signal, b: Signal) -> Signal:
        return self._each("maximum", a, b)

    @override
    def minimum(self, a: Signal, b: Signal) -> Signal:
        return self._each("minimum", a, b)

    @override
    def less(self, a: Signal, b: Signal) -> Signal:
        return self._each("less", a, b)

    @override
    def select(self, condition: Signal, a: Signal, b: Signal) -> Signal:
        known = self._known(condition)
        if self.record.constant(known):
            chosen = self.record.values(known.ravel()).data.reshape(known.shape) != 0
            return Signal(np.where(chosen, a.numbers, b.numbers))
        return self._each("select", condition, a, b)

    @override
    def quantize(self, a: Signal, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str) -> Signal:
        bits = [np.broadcast_to(integer(each), a.numbers.shape) for each in (k, i, f)]
        raw = a.numbers < 0
        result = a.numbers.copy()
        wanted = zip(*(each[raw].tolist() for each in bits), strict=True)
        given = [Format(k, i, f, round_mode, overflow_mode) for k, i, f in wanted]
        result[raw] = self._enter(result[raw], given)
        if not raw.all():
            kept = [each[~raw] for each in bits]
            node = Quantized((result[~raw],), kept[0], kept[1], kept[2], round_mode, overflow_mode)
            result[~raw] = self._record(node)
        return Signal(result)

    @override
    def quantizer(self, a: Signal, statement: Callable[[Arrays[Any], Any], Any]) -> Signal:
        start = len(self.record.entries)
        try:
            result: Signal = statement(self, a)
        except Unquantized:  # the host applies it, as a function of steps
            self.record.cut(start)
            return self._enter_steps(a, statement)
        return result

    @override
    def exponents(self, a: Signal) -> tuple[int, int]:
        return Intervals().exponents(self.record.bounds(self._known(a).ravel()))

    @override
    def table(self, a: Signal, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> Signal:
        known = self._known(a)
        if not self.record.constant(known):
            width = int(formats(self.record.bounds(known.ravel())).width.max())
            if width > TABLE_INPUT_BITS:
                raise Unsupported(f"a table of more than {TABLE_INPUT_BITS} bits of input. Received: {width} bits.")
        return Signal(self._record(Table((known.ravel(),), function)).reshape(known.shape))

    @override
    def cheapest(self, a: Signal, *alternatives: Callable[[Signal], Signal]) -> Signal:
        known = Signal(self._known(a))
        start = len(self.record.entries)
        costs: list[float] = []
        for statement in alternatives:
            try:
                statement(known)
                costs.append(self.record.cost(start))
            except Unsupported:
                costs.append(inf)
            self.record.cut(start)
        return alternatives[costs.index(min(costs))](known)

    @override
    def reshape(self, a: Signal, shape: Sequence[int]) -> Signal:
        return Signal(a.numbers.reshape(tuple(shape)))

    @override
    def transpose(self, a: Signal, axes: Sequence[int]) -> Signal:
        return Signal(a.numbers.transpose(tuple(axes)))

    @override
    def concatenate(self, arrays: Sequence[Signal], axis: int) -> Signal:
        return Signal(np.concatenate([each.numbers for each in arrays], axis=axis))

    @override
    def broadcast(self, a: Signal, shape: Sequence[int]) -> Signal:
        return Signal(np.broadcast_to(a.numbers, tuple(shape)))

    @override
    def gather(self, a: Signal, indices: npt.ArrayLike, axis: int) -> Signal:
        return Signal(np.take(a.numbers, np.asarray(indices), axis=axis))

    @override
    def pad(self, a: Signal, widths: Sequence[tuple[int, int]]) -> Signal:
        zero = int(self.constant(0.0).numbers)
        return Signal(np.pad(a.numbers, tuple(widths), constant_values=zero))

    def output(self, a: Signal) -> Numbers:
        """Return the numbers of an output, which is a node of its own, in one axis."""
        return self._wires(self._known(a).ravel())

    def _each(self, operation: str, *operands: Signal) -> Signal:
        broadcast = np.broadcast_arrays(*map(self._known, operands))
        flat = tuple(operand.ravel() for operand in broadcast)
        return Signal(self._record(Elementwise(flat, operation)).reshape(broadcast[0].shape))

    def _record(self, node: Node) -> Numbers:
        """Append a node, unless its numbers are constants."""
        if all(self.record.constant(operand) for operand in node.operands):
            return self._constant(node.exact(Integers(), *map(self.record.values, node.operands))).ravel()
        bounds = node.exact(Intervals(), *map(self.record.bounds, node.operands))
        if (Integers().subtract(bounds.hi, bounds.lo).data == 0).all():
            return self._constant(bounds.lo).ravel()
        return self.record.add(self.path, node, bounds)

    def _wires(self, numbers: Numbers) -> Numbers:
        return self.record.add(self.path, Wires((numbers,)), self.record.bounds(numbers))

    def _constant(self, values: IntegerArray) -> Numbers:
        flat = Integers().reshape(values, (1, -1))
        point = IntervalArray(flat, flat, fraction_bits(flat))
        return self.record.add(self.path, Constant(), point).reshape(values.data.shape)

    def _known(self, a: Signal) -> Numbers:
        """Return the numbers of an operand, those of an integer input that is not quantized as the host gives them."""
        raw = a.numbers < 0
        if not raw.any():
            return a.numbers
        result = a.numbers.copy()
        result[raw] = self._numbers([self.host.enter_unquantized(self._raw[-1 - each]) for each in result[raw]])
        return result

    def _enter(self, raw: Numbers, wanted: Sequence[Format]) -> Numbers:
        """Return numbers of the inputs as the host gives them, in the formats of the first quantizers."""
        numbers = [self._raw[-1 - each] for each in raw]
        return self._numbers([self.host.enter(*each) for each in zip(numbers, wanted, strict=True)])

    def _enter_steps(self, a: Signal, statement: Callable[[Arrays[Any], Any], Any]) -> Signal:
        """Return numbers of the inputs as the host gives them, and constants, where a quantizer is its work."""
        known = a.numbers[a.numbers >= 0]
        if known.size and not self.record.constant(known):
            raise Unsupported("a quantizer of both an input and of what is computed. Say input_format=(k, i, f).")
        raw = [self._raw[-1 - each] if each < 0 else self._value(each) for each in a.numbers.ravel().tolist()]
        given = self.host.enter_steps(objects(raw, a.numbers.shape), statement).ravel().tolist()
        numbers = [self._numbers([x])[0] if isinstance(x, Entry) else int(self.constant(x).numbers) for x in given]
        return Signal(np.array(numbers, dtype=np.int64).reshape(a.numbers.shape))

    def _value(self, constant: int) -> float:
        return float(to_float(self.record.values(np.array([constant])))[0, 0])

    def _numbers(self, entries: Sequence[Entry]) -> Numbers:
        new = [entry for entry in dict.fromkeys(entries) if entry not in self.entered]
        if new:
            low, high = np.array([[entry.bounds for entry in new]]).transpose(2, 0, 1)
            bounds = Intervals().between(low, high, np.array([entry.format.f for entry in new]))
            numbers = self.record.add(self.path, Input(), bounds)
            self.entered.update(zip(new, numbers.tolist(), strict=True))
        return np.array([self.entered[entry] for entry in entries], dtype=np.int64)

    def _whole(self, numbers: Numbers) -> Numbers:
        """Return the numbers as those of one node, in order, which is what a product reads; constants as they are."""
        entry = self.record.sources(numbers)[0]
        whole = not isinstance(entry.node, Input | Product) and np.array_equal(entry.numbers, numbers)
        return numbers if whole or self.record.constant(numbers) else self._wires(numbers)
