"""The array interface of exact arithmetic, recorded as instructions on rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.errors import ExactnessError
from hgq2_core.exact import IntegerArray, IntervalArray, Intervals
from hgq2_core.exact.arrays import Arrays, Axis, BitArray
from hgq2_core.exact.integer_array import NO_BITS, integer
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exact.rounding import limits, rounded
from hgq2_core.exporting.contraction import Contraction
from hgq2_core.exporting.errors import Unquantized, Unsupported
from hgq2_core.exporting.inputs import Entry, Format, HostInputs, RawNumber, objects
from hgq2_cpp.operand import (
    CONSTANT,
    Ints,
    Operand,
    constant,
    exact,
    in_units,
    interval,
    part_of,
    settled,
    size_of,
    unquantized,
    varies,
)
from hgq2_cpp.recorder import Recorder, aligned, constants_of
from hgq2_cpp.sums import linear, products
from hgq2_cpp.tables import bits_of, ends_of, entries_of, least_of, most_of


class CppArrays(Arrays[Operand]):
    """`Arrays` that record instructions; on constants they compute.

    Args:
        inputs: the model's inputs.
    """

    def __init__(self, inputs: HostInputs) -> None:
        self.inputs = inputs
        self.recorder = Recorder()
        self.intervals = Intervals()

    def starts(self, input_format: tuple[int, int, int] | None = None) -> list[Operand]:
        """Return the model's inputs.

        Args:
            input_format: (k, i, f) of all inputs, if the host is not to quantize.
        """
        formats = [self.inputs.start(number, input_format) for number in range(len(self.inputs.tensors))]
        raw = [unquantized(each) for each in self.inputs.raw()]
        return [
            each if known is None else self.quantize(each, *known) for each, known in zip(raw, formats, strict=True)
        ]

    def state(self, shape: tuple[int, ...]) -> Operand:
        """Return a state that a layer keeps from call to call, before the call: one more input.

        Args:
            shape: without the batch axis.
        """
        return unquantized(self.inputs.add_state(shape))

    def entered(self, a: Operand) -> Operand:
        """Return an operand of numbers that the host gives, where no quantizer came first."""
        return a if a.raw is None else self._entries(_map(self.inputs.enter_unquantized, a.raw))

    @override
    def constant(self, values: npt.ArrayLike) -> Operand:
        return constant(exact.constant(values))

    @override
    def shape(self, a: Operand) -> tuple[int, ...]:
        return a.shape

    @override
    def add(self, a: Operand, b: Operand) -> Operand:
        a, b = self._pair(a, b)
        return self._binary("add", a, b, self.intervals.add(a.bounds, b.bounds))

    @override
    def subtract(self, a: Operand, b: Operand) -> Operand:
        a, b = self._pair(a, b)
        return self._binary("subtract", a, b, self.intervals.subtract(a.bounds, b.bounds))

    @override
    def negate(self, a: Operand) -> Operand:
        return self.subtract(self.constant(0.0), a)

    @override
    def multiply(self, a: Operand, b: Operand) -> Operand:
        a, b = self._pair(a, b)
        return self._binary("multiply", a, b, self.intervals.multiply(a.bounds, b.bounds))

    @override
    def shift(self, a: Operand, n: BitArray) -> Operand:
        a = self.entered(a)
        places = integer(n)
        shape = np.broadcast_shapes(a.shape, places.shape)
        a = self.broadcast(a, shape)
        return Operand(a.rows, a.exponent - places, self.intervals.shift(a.bounds, np.broadcast_to(places, shape)))

    @override
    def maximum(self, a: Operand, b: Operand) -> Operand:
        a, b = self._pair(a, b)
        return self._binary("maximum", a, b, self.intervals.maximum(a.bounds, b.bounds))

    @override
    def minimum(self, a: Operand, b: Operand) -> Operand:
        a, b = self._pair(a, b)
        return self._binary("minimum", a, b, self.intervals.minimum(a.bounds, b.bounds))

    @override
    def less(self, a: Operand, b: Operand) -> Operand:
        a, b = self._pair(a, b)
        return self._binary("less", a, b, self.intervals.less(a.bounds, b.bounds))

    @override
    def select(self, condition: Operand, a: Operand, b: Operand) -> Operand:
        condition, a, b = (self.entered(each) for each in (condition, a, b))
        shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
        condition, a, b = (self.broadcast(each, shape) for each in (condition, a, b))
        bounds = self.intervals.select(condition.bounds, a.bounds, b.bounds)
        known, first = condition.rows == CONSTANT, to_float(condition.bounds.lo) != 0
        rows = np.where(first, a.rows, b.rows)
        exponent = np.where(first, a.exponent, b.exponent)
        live = varies(bounds) & ~known
        (c, _), (x, ex), (y, ey) = (self._rows(each, live) for each in (condition, a, b))
        left, right = part_of(a.bounds, live), part_of(b.bounds, live)
        most, (sx, sy) = aligned((ex, left), (ey, right))
        sizes = np.maximum(size_of(left, most), size_of(right, most))
        rows[live] = self.recorder.elementwise(
            "select", {"c": c, "a": x, "b": y}, {"up_a": sx, "up_b": sy}, sizes, part_of(bounds, live), most
        )
        exponent[live] = most
        return settled(rows, exponent, bounds)

    @override
    def einsum(self, equation: str, a: Operand, b: Operand) -> Operand:
        a, b = self.entered(a), self.entered(b)
        if a.constant and not b.constant:
            inputs, output = equation.replace(" ", "").split("->")
            return self.einsum(f"{','.join(inputs.split(',')[::-1])}->{output}", b, a)
        bounds = self.intervals.einsum(equation, a.bounds, b.bounds)
        if a.constant:
            return constant(bounds.lo)
        contraction = Contraction(equation, a.shape, b.shape)
        left, right = a.moved(contraction.left), b.moved(contraction.right)
        rows, exponent = linear(self.recorder, left, right) if b.constant else products(self.recorder, left, right)
        return settled(contraction.output(rows), contraction.output(exponent), bounds)

    @override
    def sum(self, a: Operand, axis: Axis, keepdims: bool = False) -> Operand:
        a = self.entered(a)
        bounds = self.intervals.sum(a.bounds, axis, keepdims)
        if a.constant:
            return constant(bounds.lo)
        axes = tuple(each % len(a.shape) for each in (axis if isinstance(axis, tuple) else (axis,)))
        order = [*(each for each in range(len(a.shape)) if each not in axes), *axes]
        terms = math.prod(a.shape[each] for each in axes)
        left = a.moved(lambda data: data.transpose(order).reshape(1, -1, terms))
        rows, exponent = linear(self.recorder, left, self.constant(np.ones((1, terms, 1))))
        shape = bounds.step.shape
        return settled(rows.reshape(shape), exponent.reshape(shape), bounds)

    @override
    def quantize(
        self, a: Operand, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str
    ) -> Operand:
        if a.raw is not None:
            return self._enter(a.raw, k, i, f, round_mode, overflow_mode)
        k, i, f = (np.broadcast_to(integer(each), a.shape) for each in (k, i, f))
        known = exact.quantize(a.bounds.lo, k, i, f, round_mode, overflow_mode)
        bounds = self.intervals.quantize(a.bounds, k, i, f, round_mode, overflow_mode)
        bounds = constants_of(known, a.rows == CONSTANT, bounds)
        live = varies(bounds)
        least, most, _ = limits(k, i, f, overflow_mode)
        ends = [rounded(end, f, round_mode)[1] for end in (a.bounds.lo, a.bounds.hi)]
        outside = (exact.less(ends[0], least).data | exact.less(most, ends[1]).data).astype(bool) & live
        rounds = live & ~outside & (a.exponent > f)
        rows, exponent = a.rows.copy(), a.exponent.copy()
        own, formats = np.maximum(k + i + f, 0), (k, i + f)
        low, high = (_clamped(end, f, a, outside) for end in (least, most))
        tables = {"WRAP": (k, own), "WRAP_SM": formats}.get(overflow_mode, (low, high))
        for here, mode in ((rounds, "NONE"), (outside, overflow_mode)):
            if not here.any():
                continue
            fraction = f[here]
            up, down = np.maximum(fraction - exponent[here], 0), np.maximum(exponent[here] - fraction, 0)
            sizes = np.ldexp(a.size[here], up.astype(np.int32)) + np.ldexp(1.0, down.astype(np.int32))
            rows[here] = self.recorder.elementwise(
                "quantize",
                {"a": rows[here]},
                {"up": up, "down": down, "p": tables[0][here], "q": tables[1][here]},
                sizes,
                part_of(bounds, here),
                fraction,
                (round_mode, mode),
            )
            exponent[here] = fraction
        return settled(rows, exponent, bounds)

    @override
    def quantizer(self, a: Operand, statement: Callable[[Arrays[Any], Any], Any]) -> Operand:
        try:
            result: Operand = statement(self, a)
        except Unquantized:  # the host applies it, as a function of steps
            if a.raw is None:
                raise
            return self._entries(self.inputs.enter_steps(a.raw, statement))
        return result

    @override
    def exponents(self, a: Operand) -> tuple[int, int]:
        return self.intervals.exponents(self.entered(a).bounds)

    @override
    def table(self, a: Operand, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> Operand:
        a = self.entered(a)
        keys = list(zip(*(end.ravel().tolist() for end in ends_of(a.bounds)), strict=True))
        images = {key: entries_of(key, function) for key in dict.fromkeys(keys)}
        low, high, step = ([ends(images[key]) for key in keys] for ends in (least_of, most_of, bits_of))
        bounds = interval(np.reshape(low, a.shape), np.reshape(high, a.shape), np.reshape(step, a.shape))
        live = varies(bounds)
        used = list(dict.fromkeys(key for key, each in zip(keys, live.ravel(), strict=True) if each))
        entries = [in_units(images[key], np.full(images[key].data.shape, bits_of(images[key]))) for key in used]
        starts = dict(zip(used, np.cumsum([0, *(len(each) for each in entries)]).tolist(), strict=False))
        at = [key for key, each in zip(keys, live.ravel(), strict=True) if each]
        if not at:
            return constant(bounds.lo)
        rows, exponent = a.rows.copy(), np.reshape(step, a.shape).astype(np.int64)
        steps = np.array([key[2] for key in at])
        up = np.maximum(steps - a.exponent[live], 0)
        source, places = self.recorder.shifted(a.rows[live], up, a.size[live]), a.exponent[live] + up
        first = np.array([round(math.ldexp(key[0], key[2])) for key in at])
        rows[live] = self.recorder.elementwise(
            "table",
            {"a": source},
            {
                "down": places - steps,
                "first": first,
                "start": np.array([starts[key] for key in at]),
                "entries": np.concatenate(entries).astype(np.int64),
            },
            a.size[live],
            part_of(bounds, live),
            exponent[live],
        )
        return settled(rows, exponent, bounds)

    @override
    def cheapest(self, a: Operand, *alternatives: Callable[[Operand], Operand]) -> Operand:
        a = self.entered(a)
        made: list[tuple[float, int, Operand]] = []
        refused: Exception | None = None
        for number, statement in enumerate(alternatives):
            before = len(self.recorder.instructions)
            try:
                result = statement(a)
            except (Unsupported, ExactnessError) as error:
                refused = error
                continue
            made.append((sum(each.cost for each in self.recorder.instructions[before:]), number, result))
        if not made and refused is not None:
            raise refused
        return min(made, key=lambda each: each[:2])[2]

    @override
    def reshape(self, a: Operand, shape: Sequence[int]) -> Operand:
        return a.moved(lambda data: data.reshape(tuple(shape)))

    @override
    def transpose(self, a: Operand, axes: Sequence[int]) -> Operand:
        return a.moved(lambda data: data.transpose(tuple(axes)))

    @override
    def concatenate(self, arrays: Sequence[Operand], axis: int) -> Operand:
        if all(each.raw is not None for each in arrays):
            return unquantized(np.concatenate([each.raw for each in arrays if each.raw is not None], axis=axis))
        parts = [self.entered(each) for each in arrays]
        return Operand(
            np.concatenate([each.rows for each in parts], axis=axis),
            np.concatenate([each.exponent for each in parts], axis=axis),
            self.intervals.concatenate([each.bounds for each in parts], axis),
        )

    @override
    def broadcast(self, a: Operand, shape: Sequence[int]) -> Operand:
        return a.moved(lambda data: np.broadcast_to(data, tuple(shape)))

    @override
    def gather(self, a: Operand, indices: npt.ArrayLike, axis: int) -> Operand:
        return a.moved(lambda data: np.take(data, np.asarray(indices), axis=axis))

    @override
    def pad(self, a: Operand, widths: Sequence[tuple[int, int]]) -> Operand:
        if a.raw is not None:
            return unquantized(np.pad(a.raw, tuple(widths), constant_values=0.0))
        return Operand(
            np.pad(a.rows, tuple(widths), constant_values=CONSTANT),
            np.pad(a.exponent, tuple(widths)),
            self.intervals.pad(a.bounds, widths),
        )

    def _pair(self, a: Operand, b: Operand) -> tuple[Operand, Operand]:
        a, b = self.entered(a), self.entered(b)
        shape = np.broadcast_shapes(a.shape, b.shape)
        return self.broadcast(a, shape), self.broadcast(b, shape)

    def _rows(self, a: Operand, where: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
        """Return rows and exponents of some numbers, flat."""
        return self.recorder.with_rows(Operand(a.rows[where], a.exponent[where], part_of(a.bounds, where)))

    def _binary(self, op: str, a: Operand, b: Operand, bounds: IntervalArray) -> Operand:
        live = varies(bounds)
        (x, ex), (y, ey) = self._rows(a, live), self._rows(b, live)
        left, right = part_of(a.bounds, live), part_of(b.bounds, live)
        numbers = {}
        if op == "multiply":
            own = ex + ey
            sizes = np.maximum(size_of(left, ex), size_of(right, ey))
        else:
            own, (sx, sy) = aligned((ex, left), (ey, right))
            numbers = {"up_a": sx, "up_b": sy}
            sizes = np.maximum(size_of(left, own), size_of(right, own))
            own = np.zeros_like(own) if op == "less" else own
        rows, exponent = np.full(a.shape, CONSTANT), np.zeros(a.shape, dtype=np.int64)
        if live.any():
            rows[live] = self.recorder.elementwise(op, {"a": x, "b": y}, numbers, sizes, part_of(bounds, live), own)
            exponent[live] = own
        return settled(rows, exponent, bounds)

    def _enter(self, raw: Any, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str) -> Operand:
        bits = (np.broadcast_to(integer(each), raw.shape).ravel().tolist() for each in (k, i, f))

        def one(x: Any, k: int, i: int, f: int) -> Any:
            wanted = Format(k, i, f, round_mode, overflow_mode)
            if isinstance(x, RawNumber):
                return self.inputs.enter(x, wanted)
            return float(to_float(exact.quantize(from_float(x), *wanted)))

        return self._entries(objects(map(one, raw.ravel(), *bits), raw.shape))

    def _entries(self, entered: Any) -> Operand:
        """Return an operand of numbers that the host gives, and of constants."""
        given = [x if isinstance(x, Entry) else None for x in entered.ravel()]
        ends = [(x, x) if entry is None else entry.bounds for x, entry in zip(entered.ravel(), given, strict=True)]
        fraction = [NO_BITS if entry is None else entry.format.f for entry in given]
        low, high = np.array(ends, dtype=np.float64).reshape(*entered.shape, 2).transpose(-1, *range(entered.ndim))
        bounds = interval(from_float(low), from_float(high), np.reshape(fraction, entered.shape))
        live = varies(bounds).ravel()
        rows = [
            self.recorder.input(entry) if entry is not None and each else CONSTANT
            for entry, each in zip(given, live, strict=True)
        ]
        exponent = [0 if entry is None else entry.format.f for entry in given]
        shape = entered.shape
        return settled(np.reshape(rows, shape), np.reshape(exponent, shape), bounds)


def _map(function: Callable[[RawNumber], Entry], raw: Any) -> Any:
    return objects((function(x) if isinstance(x, RawNumber) else x for x in raw.ravel()), raw.shape)


def _clamped(end: IntegerArray, f: Ints, a: Operand, where: npt.NDArray[np.bool_]) -> Ints:
    """Return an end of formats in units of 2^-f, or where data do not come near it, something further out than they."""
    units = np.where(where, f, 0)
    size = np.ldexp(to_float(end), units.astype(np.int32))
    near = np.abs(size) < 2.0**62
    values = in_units(exact.select(IntegerArray((near & where).astype(np.int64), 0), end, from_float(0.0)), units)
    return np.where(near, values, np.sign(size) * 2.0**62).astype(np.int64)
