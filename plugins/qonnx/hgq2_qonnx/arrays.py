"""The array interface of exact arithmetic, recorded as operations of ONNX and QONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.errors import ExactnessError
from hgq2_core.exact import Arrays, IntervalArray, Intervals
from hgq2_core.exact.arrays import Axis, BitArray
from hgq2_core.exact.integer_array import integer
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.contraction import written_out
from hgq2_core.exporting.errors import Unquantized, Unsupported
from hgq2_core.exporting.inputs import Format, HostInputs, Objects, RawNumber, objects
from hgq2_qonnx.graph import Graph
from hgq2_qonnx.operand import FAR, PRECISION, Operand, entered_bounds, exact, unquantized, varies
from hgq2_qonnx.quantizers import quantized, weights
from hgq2_qonnx.steps import stepped
from hgq2_qonnx.tables import looked_up

Floats = npt.NDArray[np.float64]


class QonnxArrays(Arrays[Operand]):
    """`Arrays` that record operations on float32, and refuse what float32 would round; on constants they compute.

    Args:
        inputs: the model's inputs, which keep the format of each number.
        names: of the graph's inputs.
        allow_plain: whether a quantizer that QONNX has no node for may be composed of plain operations.
    """

    def __init__(self, inputs: HostInputs, names: Sequence[str], allow_plain: bool = False) -> None:
        self.inputs = inputs
        self.allow_plain = allow_plain
        self.graph = Graph({name: raw.shape for name, raw in zip(names, inputs.raw(), strict=True)})
        self.intervals = Intervals()

    def starts(self, input_format: tuple[int, int, int] | None = None) -> list[Operand]:
        """Return the model's inputs.

        Args:
            input_format: (k, i, f) of all inputs, to which they are rounded first.
        """
        starts = []
        for number, (name, raw) in enumerate(zip(self.graph.inputs, self.inputs.raw(), strict=True)):
            wanted = self.inputs.start(number, input_format)
            start = unquantized(name, raw)
            starts.append(start if wanted is None else self.quantize(start, *wanted))
        return starts

    def entered(self, a: Operand) -> Operand:
        """Return an operand with bounds, those of its type where no quantizer came first."""
        if a.raw is None:
            return a
        raw = (self.inputs.enter_unquantized(x) if isinstance(x, RawNumber) else x for x in a.raw.ravel())
        return Operand(a.name, self.bounds_of(objects(raw, a.raw.shape)))

    def bounds_of(self, entered: Objects) -> IntervalArray:
        """Return the bounds of what an input's quantizers make of its numbers."""
        return self.intervals.between(*entered_bounds(entered))

    @override
    def constant(self, values: npt.ArrayLike) -> Operand:
        return Operand("", self.intervals.constant(values))

    @override
    def shape(self, a: Operand) -> tuple[int, ...]:
        return a.shape

    @override
    def add(self, a: Operand, b: Operand) -> Operand:
        for x, zero in ((a, b), (b, a)):
            if zero.constant and not zero.bounds.lo.data.any() and np.broadcast_shapes(a.shape, b.shape) == x.shape:
                return self.entered(x)
        return self._exactly("Add", "add", a, b)

    @override
    def subtract(self, a: Operand, b: Operand) -> Operand:
        return self._exactly("Sub", "subtract", a, b)

    @override
    def negate(self, a: Operand) -> Operand:
        return self._each("Neg", "negate", a)

    @override
    def multiply(self, a: Operand, b: Operand) -> Operand:
        return self._exactly("Mul", "multiply", a, b)

    @override
    def shift(self, a: Operand, n: BitArray) -> Operand:
        return self.multiply(a, self.constant(np.ldexp(1.0, integer(n))))

    @override
    def maximum(self, a: Operand, b: Operand) -> Operand:
        a, b = (b, a) if a.constant else (a, b)
        if b.constant and not to_float(b.bounds.lo).any() and np.broadcast_shapes(a.shape, b.shape) == a.shape:
            bounds = self.intervals.maximum(self.entered(a).bounds, b.bounds)
            return self.made("Relu", [self.entered(a)], bounds)
        return self._each("Max", "maximum", a, b)

    @override
    def minimum(self, a: Operand, b: Operand) -> Operand:
        return self._each("Min", "minimum", a, b)

    @override
    def less(self, a: Operand, b: Operand) -> Operand:
        compared = self._each("Less", "less", a, b)
        if compared.constant:
            return compared
        return self.made("Cast", [compared], compared.bounds, to="float32")

    @override
    def select(self, condition: Operand, a: Operand, b: Operand) -> Operand:
        condition, a, b = (self.entered(each) for each in (condition, a, b))
        bounds = self.intervals.select(condition.bounds, a.bounds, b.bounds)
        chosen = condition
        if not condition.constant:
            chosen = self.made("Cast", [condition], condition.bounds, to="bool")
        shape = bounds.step.shape
        if not varies(bounds).any():
            return Operand("", bounds)
        truth = self.graph.constant(to_float(condition.bounds.lo) != 0, np.bool_) if condition.constant else ""
        names = [truth or self._read(chosen, shape), *(self._read(each, shape) for each in (a, b))]
        return _in_range(Operand(self.graph.add("Where", names, shape), bounds))

    @override
    def einsum(self, equation: str, a: Operand, b: Operand) -> Operand:
        a, b = self.entered(a), self.entered(b)
        if a.constant and not b.constant:
            inputs, output = equation.replace(" ", "").split("->")
            return self.einsum(f"{','.join(inputs.split(',')[::-1])}->{output}", b, a)
        bounds = self._bounded("einsum", equation, a.bounds, b.bounds)
        if not varies(bounds).any():
            return Operand("", bounds)
        left, right, output = written_out(equation, len(a.shape), len(b.shape))
        sizes: dict[str, int] = {}
        for letter, size in zip(left + right, a.shape + b.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
        a, b = (self.broadcast(x, [sizes[each] for each in text]) for x, text in ((a, left), (b, right)))
        names = [self._read(a), weights(self, b) if b.constant else self._read(b)]
        if len(right) == 2 and left[-1] == right[0] and output == left[:-1] + right[1] and len(left) > 1:
            return _in_range(Operand(self.graph.add("MatMul", names, bounds.step.shape), bounds))
        written = f"{left},{right}->{output}"
        return _in_range(Operand(self.graph.add("Einsum", names, bounds.step.shape, equation=written), bounds))

    @override
    def sum(self, a: Operand, axis: Axis, keepdims: bool = False) -> Operand:
        a = self.entered(a)
        bounds = self._bounded("sum", a.bounds, axis, keepdims)
        axes = tuple(each % len(a.shape) for each in (axis if isinstance(axis, tuple) else (axis,)))
        return self.made("ReduceSum", [a], bounds, axes=axes, keepdims=int(keepdims))

    @override
    def quantize(
        self, a: Operand, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str
    ) -> Operand:
        k, i, f = (np.broadcast_to(integer(each), a.shape) for each in (k, i, f))
        if a.raw is not None:
            bounds = self.bounds_of(self._enter(a.raw, (k, i, f), round_mode, overflow_mode))
        else:
            bounds = self._bounded("quantize", a.bounds, k, i, f, round_mode, overflow_mode)
        if not varies(bounds).any():
            return Operand("", bounds)
        made = quantized(self, a, k, i, f, round_mode, overflow_mode)
        return _in_range(Operand(made, bounds))

    @override
    def quantize_float(
        self,
        a: Operand,
        mantissa: int,
        exponent: int,
        bias: int,
        largest: float,
        statement: Callable[[Arrays[Any], Any], Any],
    ) -> Operand:
        if a.raw is not None:
            bounds = self.bounds_of(self.inputs.enter_steps(a.raw, statement))
        else:
            bounds = statement(self.intervals, a.bounds)
        numbers = (1.0, exponent, mantissa, bias, largest)
        return self.made(
            "FloatQuant",
            [Operand(a.name, bounds) if a.raw is not None else a, *map(self.constant, numbers)],
            bounds,
            rounding_mode="ROUND",
            has_inf=0,
            has_nan=0,
            has_subnormal=1,
            saturation=1,
        )

    @override
    def quantizer(self, a: Operand, statement: Callable[[Arrays[Any], Any], Any]) -> Operand:
        start = len(self.graph.nodes)
        try:
            result: Operand = statement(self, a)
        except Unquantized:
            if a.raw is None:
                raise
            del self.graph.nodes[start:]
            entered = self.inputs.enter_steps(a.raw, statement)
            bounds = self.bounds_of(entered)
            return (
                Operand(stepped(self.graph, a.name, entered), bounds) if varies(bounds).any() else Operand("", bounds)
            )
        return result

    @override
    def exponents(self, a: Operand) -> tuple[int, int]:
        return self.intervals.exponents(self.entered(a).bounds)

    @override
    def table(self, a: Operand, function: Callable[[Floats], npt.ArrayLike]) -> Operand:
        a = self.entered(a)
        bounds = self.intervals.table(a.bounds, function)
        if not varies(bounds).any():
            return Operand("", bounds)
        return _in_range(Operand(looked_up(self, a, function), bounds))

    @override
    def cheapest(self, a: Operand, *alternatives: Callable[[Operand], Operand]) -> Operand:
        a = self.entered(a)
        start = len(self.graph.nodes)
        made: list[tuple[int, int]] = []
        refused: Exception | None = None
        for number, statement in enumerate(alternatives):
            try:
                statement(a)
            except (Unsupported, ExactnessError) as error:
                refused = error
            else:
                made.append((len(self.graph.nodes), number))
            del self.graph.nodes[start:]
        if not made and refused is not None:
            raise refused
        return alternatives[min(made)[1]](a)

    @override
    def reshape(self, a: Operand, shape: Sequence[int]) -> Operand:
        whole = np.empty(a.shape, dtype=np.bool_).reshape(tuple(shape)).shape
        return self._moved("Reshape", a, "reshape", whole, shape=whole)

    @override
    def transpose(self, a: Operand, axes: Sequence[int]) -> Operand:
        order = tuple(axis % len(a.shape) for axis in axes)
        return self._moved("Transpose", a, "transpose", order, perm=order)

    @override
    def broadcast(self, a: Operand, shape: Sequence[int]) -> Operand:
        if len(shape) > len(a.shape):
            a = self.reshape(a, (1,) * (len(shape) - len(a.shape)) + a.shape)
        return self._moved("Expand", a, "broadcast", tuple(shape), shape=tuple(shape))

    @override
    def gather(self, a: Operand, indices: npt.ArrayLike, axis: int) -> Operand:
        index = np.asarray(indices, dtype=np.int64)
        axis %= len(a.shape)
        size = a.shape[axis]
        index = np.where(index < 0, index + size, index)
        if index.shape == (size,) and np.array_equal(index, np.arange(size)):
            return a
        return self._moved("Gather", a, "gather", index, axis, axis=axis)

    @override
    def pad(self, a: Operand, widths: Sequence[tuple[int, int]]) -> Operand:
        pads = [before for before, _ in widths] + [after for _, after in widths]
        return self._moved("Pad", a, "pad", tuple(widths), pads=tuple(pads)) if any(pads) else a

    @override
    def concatenate(self, arrays: Sequence[Operand], axis: int) -> Operand:
        axis %= len(arrays[0].shape)
        if all(each.raw is not None for each in arrays):
            raw = np.concatenate([each.raw for each in arrays if each.raw is not None], axis=axis)
            return unquantized(self.graph.add("Concat", [each.name for each in arrays], raw.shape, axis=axis), raw)
        parts = [self.entered(each) for each in arrays]
        bounds = self.intervals.concatenate([each.bounds for each in parts], axis)
        if not varies(bounds).any():
            return Operand("", bounds)
        names = [self.graph.constant(each.values) if each.constant else each.name for each in parts]
        return Operand(self.graph.add("Concat", names, bounds.step.shape, axis=axis), bounds)

    def made(self, op: str, operands: Sequence[Operand], bounds: IntervalArray, **attributes: Any) -> Operand:
        """Return what a new node makes of operands; a constant where its bounds leave it no choice."""
        if not varies(bounds).any():
            return Operand("", bounds)
        shape = bounds.step.shape
        joint = np.broadcast_shapes(*(each.shape for each in operands)) if len(operands) > 1 else ()
        whole = any(each.shape == joint and not each.constant for each in operands)
        names = [self._read(each, joint, whole) for each in operands]
        return _in_range(Operand(self.graph.add(op, names, shape, **attributes), bounds))

    def floor(self, a: Operand) -> Operand:
        """Return the largest integers that are not above."""
        return self.made("Floor", [a], self.intervals.quantize(a.bounds, 1, FAR, 0, "TRN", "SAT"))

    def _each(self, op: str, operation: str, *operands: Operand) -> Operand:
        known = [self.entered(each) for each in operands]
        return self.made(op, known, getattr(self.intervals, operation)(*(each.bounds for each in known)))

    def _exactly(self, op: str, operation: str, *operands: Operand) -> Operand:
        """Return an operand that float32 would round if its numbers had too many bits."""
        result = self._each(op, operation, *operands)
        if not result.constant:
            self._bounded("multiply", result.bounds, self.intervals.constant(1.0))
        return result

    def _bounded(self, operation: str, *arguments: Any) -> IntervalArray:
        """Return the bounds of an operation, all of whose sums and products float32 holds.

        Raises:
            Unsupported: it could round one.
        """
        self.intervals.reset()
        bounds: IntervalArray = getattr(self.intervals, operation)(*arguments)
        bits = self.intervals.required_bits
        if bits > PRECISION and varies(bounds).any():
            raise Unsupported(
                f"a sum or product needs {bits} bits, and float32, in which QONNX computes, holds {PRECISION}. Give "
                "the quantizers in front of it fewer bits, or export to another kind."
            )
        return bounds

    def _read(self, a: Operand, joint: Sequence[int] = (), whole: bool = False) -> str:
        """Return the tensor of an operand, brought to the rank of a joint shape where it varies.

        Args:
            a: the operand.
            joint: the shape of the operation's operands together.
            whole: whether another operand has that shape, so that equal constants may be one number.
        """
        if not a.constant:
            return self.reshape(a, (1,) * (len(joint) - len(a.shape)) + a.shape).name
        values = a.values
        return self.graph.constant(values.flat[0] if whole and (values == values.flat[0]).all() else values)

    def _moved(self, op: str, a: Operand, operation: str, *arguments: Any, **attributes: Any) -> Operand:
        """Return an operand with its numbers elsewhere, or several times."""
        if a.raw is None:
            bounds = getattr(self.intervals, operation)(a.bounds, *arguments)
            if a.constant:
                return Operand("", bounds)
            result = Operand("", bounds)
        else:
            result = unquantized("", MOVES[operation](a.raw, *arguments))
        same = result.shape == a.shape and (op in ("Reshape", "Expand") or arguments == (tuple(range(len(a.shape))),))
        inputs = [a.name, self.graph.constant(arguments[0], np.int64)] if op == "Gather" else [a.name]
        name = a.name if same else self.graph.add(op, inputs, result.shape, **attributes)
        return Operand(name, result.bounds, result.raw)

    def _enter(self, raw: Objects, formats: Sequence[Any], round_mode: str, overflow_mode: str) -> Objects:
        """Keep the formats in which an input's numbers enter."""
        entered: list[Any] = []
        for x, k, i, f in zip(raw.ravel(), *(each.ravel().tolist() for each in formats), strict=True):
            wanted = Format(k, i, f, round_mode, overflow_mode)
            if isinstance(x, RawNumber):
                entered.append(self.inputs.enter(x, wanted))
            else:
                entered.append(float(to_float(exact.quantize(from_float(x), *wanted))))
        return objects(entered, raw.shape)


def _in_range(a: Operand) -> Operand:
    """Refuse numbers beyond the range of float32."""
    low, high = Intervals().exponents(a.bounds)
    if low < -FAR or high > FAR:
        raise Unsupported(
            f"numbers from 2^{low} to 2^{high}, and float32 has no bits left below 2^-{FAR} and above 2^{FAR}."
        )
    return a


MOVES: dict[str, Callable[..., Objects]] = {
    "reshape": np.reshape,
    "transpose": np.transpose,
    "broadcast": np.broadcast_to,
    "gather": np.take,
    "pad": lambda raw, widths: np.pad(raw, widths, constant_values=0.0),
}
"""The same of arrays of objects."""
