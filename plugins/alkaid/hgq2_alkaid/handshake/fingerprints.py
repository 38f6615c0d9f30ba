"""What is computed for each number, as a hash of the expression, and which block of positions it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays, Axis, BitArray
from hgq2_core.exporting.contraction import Contraction

Hashes = npt.NDArray[np.uint64]
Blocks = npt.NDArray[np.int64]

NONE_FIRST, NONE_LAST = np.iinfo(np.int64).max, -1
"""The first and the last block of a number that depends on none."""

FACTORS = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Of SplitMix64, which mixes 64 bits."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """An operand, known by the expressions of its elements.

    Args:
        expression: equal for two elements where they are the same function of the numbers of a block.
        first: the first block of positions on which each depends.
        last: the last one.
    """

    expression: Hashes
    first: Blocks
    last: Blocks

    def each(self, function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Fingerprint:
        """Return the operand whose elements are moved."""
        return Fingerprint(function(self.expression), function(self.first), function(self.last))

    def depend_alone(self, blocks: int) -> bool:
        """Return True if the elements of each block of positions, along axis 1, depend on that block alone."""
        own = np.repeat(np.arange(blocks), self.first.shape[1] // blocks)
        own = own.reshape(1, -1, *[1] * (self.first.ndim - 2))
        return bool(((self.last == NONE_LAST) | ((self.first == own) & (self.last == own))).all())


class Fingerprints(Arrays[Fingerprint]):
    """`Arrays` on expressions, for one layer.

    Args:
        layer: its place in the model, by which its tables differ from those of others.
    """

    def __init__(self, layer: str = "") -> None:
        self.layer = layer
        self._tables = 0

    def numbers(self, shape: Sequence[int], blocks: int, name: int) -> Fingerprint:
        """Return the operand of unknown numbers, the same expressions in each block.

        Args:
            shape: with the batch and, as axis 1, the positions.
            blocks: into which the positions are divided.
            name: by which the operand differs from others.
        """
        part = (1, shape[1] // blocks, *shape[2:])
        expression = _mixed("number", np.uint64(name), np.arange(np.prod(part), dtype=np.uint64)).reshape(part)
        block = np.repeat(np.arange(blocks), part[1]).reshape(1, -1, *[1] * (len(shape) - 2))
        block = np.broadcast_to(block, tuple(shape))
        return Fingerprint(np.concatenate([expression] * blocks, axis=1), block, block)

    @override
    def constant(self, values: npt.ArrayLike) -> Fingerprint:
        numbers = np.asarray(values, dtype=np.float64) + 0.0  # -0 is 0
        return _no_block(_mixed("constant", np.ascontiguousarray(numbers).view(np.uint64).reshape(numbers.shape)))

    @override
    def shape(self, a: Fingerprint) -> tuple[int, ...]:
        return a.expression.shape

    @override
    def add(self, a: Fingerprint, b: Fingerprint) -> Fingerprint:
        return _each("add", a, b)

    @override
    def subtract(self, a: Fingerprint, b: Fingerprint) -> Fingerprint:
        return _each("subtract", a, b)

    @override
    def negate(self, a: Fingerprint) -> Fingerprint:
        return _each("negate", a)

    @override
    def multiply(self, a: Fingerprint, b: Fingerprint) -> Fingerprint:
        return _each("multiply", a, b)

    @override
    def shift(self, a: Fingerprint, n: BitArray) -> Fingerprint:
        return _each("shift", a, self.constant(n))

    @override
    def einsum(self, equation: str, a: Fingerprint, b: Fingerprint) -> Fingerprint:
        parts = Contraction(equation, self.shape(a), self.shape(b))
        left, right = a.each(parts.left), b.each(parts.right)
        total = None
        for term in range(left.expression.shape[2]):
            product = _each(
                "product",
                left.each(lambda x, term=term: x[:, :, term, np.newaxis]),  # type: ignore[misc]
                right.each(lambda x, term=term: x[:, np.newaxis, term]),  # type: ignore[misc]
            )
            total = product if total is None else _summed(total, product)
        return self.constant(np.zeros(1)) if total is None else total.each(parts.output)

    @override
    def sum(self, a: Fingerprint, axis: Axis, keepdims: bool = False) -> Fingerprint:
        return Fingerprint(
            np.asarray(_mixed("sum", a.expression).sum(axis=axis, keepdims=keepdims)),
            np.asarray(a.first.min(axis=axis, keepdims=keepdims, initial=NONE_FIRST)),
            np.asarray(a.last.max(axis=axis, keepdims=keepdims, initial=NONE_LAST)),
        )

    @override
    def maximum(self, a: Fingerprint, b: Fingerprint) -> Fingerprint:
        return _each("maximum", a, b)

    @override
    def minimum(self, a: Fingerprint, b: Fingerprint) -> Fingerprint:
        return _each("minimum", a, b)

    @override
    def less(self, a: Fingerprint, b: Fingerprint) -> Fingerprint:
        return _each("less", a, b)

    @override
    def select(self, condition: Fingerprint, a: Fingerprint, b: Fingerprint) -> Fingerprint:
        return _each("select", condition, a, b)

    @override
    def quantize(
        self, a: Fingerprint, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str
    ) -> Fingerprint:
        return _each(f"quantize {round_mode} {overflow_mode}", a, *(self.constant(bits) for bits in (k, i, f)))

    @override
    def table(self, a: Fingerprint, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> Fingerprint:
        self._tables += 1  # a function is known by its turn in the layer's statement
        return _each(f"table {self._tables} of {self.layer}", a)

    @override
    def cheapest(self, a: Fingerprint, *alternatives: Callable[[Fingerprint], Fingerprint]) -> Fingerprint:
        return alternatives[0](a)

    @override
    def reshape(self, a: Fingerprint, shape: Sequence[int]) -> Fingerprint:
        return a.each(lambda x: x.reshape(tuple(shape)))

    @override
    def transpose(self, a: Fingerprint, axes: Sequence[int]) -> Fingerprint:
        return a.each(lambda x: x.transpose(tuple(axes)))

    @override
    def concatenate(self, arrays: Sequence[Fingerprint], axis: int) -> Fingerprint:
        return Fingerprint(
            *(np.concatenate([getattr(a, name) for a in arrays], axis) for name in ("expression", "first", "last"))
        )

    @override
    def broadcast(self, a: Fingerprint, shape: Sequence[int]) -> Fingerprint:
        return a.each(lambda x: np.broadcast_to(x, tuple(shape)))

    @override
    def gather(self, a: Fingerprint, indices: npt.ArrayLike, axis: int) -> Fingerprint:
        return a.each(lambda x: np.take(x, np.asarray(indices), axis=axis))

    @override
    def pad(self, a: Fingerprint, widths: Sequence[tuple[int, int]]) -> Fingerprint:
        zero = self.constant(0.0)
        return Fingerprint(
            *(
                np.pad(getattr(a, name), tuple(widths), constant_values=getattr(zero, name)[()])
                for name in ("expression", "first", "last")
            )
        )


def _no_block(expression: Hashes) -> Fingerprint:
    return Fingerprint(expression, np.full(expression.shape, NONE_FIRST), np.full(expression.shape, NONE_LAST))


def _each(operation: str, *operands: Fingerprint) -> Fingerprint:
    """Return an operation of elements, which are broadcast."""
    first, last = operands[0].first, operands[0].last
    for each in operands[1:]:
        first, last = np.minimum(first, each.first), np.maximum(last, each.last)
    return Fingerprint(_mixed(operation, *(each.expression for each in operands)), first, last)


def _summed(a: Fingerprint, b: Fingerprint) -> Fingerprint:
    """Return a sum whose expression is the same in any order of its terms."""
    return Fingerprint(a.expression + b.expression, np.minimum(a.first, b.first), np.maximum(a.last, b.last))


def _mixed(operation: str, *hashes: Any) -> Hashes:
    with np.errstate(over="ignore"):
        total: Any = np.uint64(int.from_bytes(hashlib.blake2b(operation.encode(), digest_size=8).digest(), "little"))
        for each in hashes:
            total = (total ^ each) + np.uint64(FACTORS[0])
            total = (total ^ (total >> np.uint64(30))) * np.uint64(FACTORS[1])
            total = (total ^ (total >> np.uint64(27))) * np.uint64(FACTORS[2])
            total = total ^ (total >> np.uint64(31))
        return np.asarray(total)
