"""Derived widths: exact statements interpreted with bits in place of values, for what has no quantizer of its own.

The rules are those of docs/numerics.md#10. Widths are tensors of the backend, differentiable in the bit variables.
"""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays, Axis, BitArray
from hgq2_core.exact.integer_array import IntegerArray, fraction_bits
from hgq2_core.exact.integers import from_float

Tensor = Any

MOST_TERMS = 2**22
"""The most products of an einsum whose widths are compared one by one; beyond, the widest of each factor are added."""


class Width:
    """The bits of an operand.

    Args:
        shape: of the operand, with a batch of 1.
        bits: for each element in a sum; of the same rank, with size 1 where all elements along an axis have the same.
        factor: for each element in a product; that in a sum, unless it is a constant.
        values: of a constant; None of anything else.
        signed: whether values may be below 0.
        terms: of a sum of products, the widest product and the number of products.
    """

    def __init__(
        self,
        shape: Sequence[int],
        bits: Tensor,
        *,
        factor: Tensor = None,
        values: npt.NDArray[Any] | None = None,
        signed: Callable[[], bool] = lambda: True,
        terms: tuple[Tensor, Tensor] | None = None,
        weight: bool = False,
    ) -> None:
        self.shape = tuple(shape)
        self.bits = bits
        self.factor = bits if factor is None else factor
        self.values = values
        self._signed = signed
        self.terms = terms
        self.weight = weight

    @property
    def signed(self) -> bool:
        """Whether values may be below 0."""
        return self._signed()

    @property
    def live(self) -> Tensor:
        """Which elements are not known to be 0: 1 or 0."""
        known = self.bits > 0 if self.values is None else keras.ops.convert_to_tensor(self.values != 0)
        return keras.ops.cast(known, "float32")


class Deferred(Width):
    """The bits of an operand that are derived when they are asked for: a quantizer does not ask.

    Args:
        shape: of the operand, with a batch of 1.
        derive: returns its bits.
    """

    def __init__(self, shape: Sequence[int], derive: Callable[[], Width]) -> None:
        self.shape = tuple(shape)
        self._derived = functools.cache(derive)

    def __getattr__(self, name: str) -> Any:
        if name in ("bits", "factor", "values", "terms", "weight", "_signed"):
            return getattr(self._derived(), name)
        raise AttributeError(name)


def per_sample(*widths: Width, factor: bool = False) -> list[Tensor]:
    """Return the bits of each element of one sample, without the batch axis, broadcast against each other.

    Args:
        widths: of the operands.
        factor: those in a product.
    """
    shape = np.broadcast_shapes(*(each.shape for each in widths))
    bits = (_padded(each.factor if factor else each.bits, len(shape)) for each in widths)
    return [keras.ops.broadcast_to(each, shape)[0] for each in bits]


def in_host_format(shape: Sequence[int], dtype: str) -> Width:
    """Return the bits of a raw input of a model: those of its dtype."""
    bits = 1 if dtype == "bool" else int("".join(filter(str.isdigit, dtype)))
    signed = not (dtype == "bool" or dtype.startswith("u"))
    return Width(shape, _constant_bits(shape, bits), signed=lambda: signed)


class Widths(Arrays[Width]):
    """`Arrays` on bits in place of values."""

    def __init__(self) -> None:
        self.unquantized: dict[int, list[Width]] = {}
        """What passed each slot without a quantizer, by the identity of what fills the slot."""

    @override
    def constant(self, values: npt.ArrayLike) -> Width:
        array = np.asarray(values)
        span = _span(array)
        shape, rank = array.shape, (np.newaxis,) * (array.ndim == 0)
        span = span[rank] if rank else span
        return Width(
            shape or (1,),
            keras.ops.convert_to_tensor(span, dtype="float32"),
            factor=keras.ops.convert_to_tensor(np.maximum(span - 1, 0), dtype="float32"),
            values=array[rank] if rank else array,
            signed=lambda: bool((array < 0).any()),
        )

    def weights(self, shape: Sequence[int], bits: Tensor) -> Width:
        """Return the operand of quantized weights; a bias counts as a term of the sum that it is added to."""
        return Width(shape, bits, weight=True)

    def entries(self, shape: Sequence[int], bits: Tensor) -> Width:
        """Return the operand of a table's entries.

        Args:
            shape: of the operand.
            bits: of an entry, for its last axes.
        """
        return Width(shape, _padded(bits, len(shape)))

    def quantized(self, a: Width, bits: Tensor) -> Width:
        """Return an operand with the bits of the quantizer that it went through."""
        return Width(a.shape, bits, signed=lambda: a.signed)

    @override
    def shape(self, a: Width) -> tuple[int, ...]:
        return a.shape

    @override
    def add(self, a: Width, b: Width) -> Width:
        if a.values is not None and b.values is not None:
            return self.constant(a.values + b.values)
        for one, other in ((a, b), (b, a)):
            if one.values is not None and not one.values.any():
                return self._elementwise(other.bits, other, one)
            if one.weight and other.terms is not None:
                peak, count = other.terms
                terms = _larger(peak, _ranked(one.bits, peak)), count + _ranked(one.live, peak)
                return self._sum(np.broadcast_shapes(a.shape, b.shape), *terms)
        return self._elementwise(_larger(*_same_rank(a.bits, b.bits)) + 1.0, a, b)

    @override
    def subtract(self, a: Width, b: Width) -> Width:
        if a.values is not None and b.values is not None:
            return self.constant(a.values - b.values)
        sum_ = self.add(a, b)
        return Width(sum_.shape, sum_.bits)

    @override
    def negate(self, a: Width) -> Width:
        return self.constant(-a.values) if a.values is not None else Width(a.shape, a.bits)

    @override
    def multiply(self, a: Width, b: Width) -> Width:
        if a.values is not None and b.values is not None:
            return self.constant(a.values * b.values)
        left, right = _same_rank(a.factor, b.factor)
        return self._elementwise(left + right, a, b)

    @override
    def shift(self, a: Width, n: BitArray) -> Width:
        return self.constant(a.values * np.ldexp(1.0, n)) if a.values is not None else a

    @override
    def einsum(self, equation: str, a: Width, b: Width) -> Width:
        inputs, output = equation.replace(" ", "").split("->")
        left, right = inputs.split(",")
        hidden = {len(one.shape) - len(text.replace("...", "")) for text, one in ((left, a), (right, b)) if "." in text}
        free = [letter for letter in string.ascii_letters if letter not in equation]
        rest = "".join(free[: max(hidden, default=0)])
        left, right, output = (text.replace("...", rest) for text in (left, right, output))
        summed = [letter for letter in dict.fromkeys(left + right) if letter not in output]
        sizes: dict[str, int] = {}
        for letter, size in [*zip(left, a.shape, strict=True), *zip(right, b.shape, strict=True)]:
            sizes[letter] = max(size, sizes.get(letter, 1))
        letters = [*output, *summed]
        factors = [_spread(one.factor, text, letters) for text, one in ((left, a), (right, b))]
        live = [_spread(one.live, text, letters) for text, one in ((left, a), (right, b))]
        joint = np.broadcast_shapes(*(tuple(each.shape) for each in factors))
        axes = tuple(range(len(output), len(letters)))
        if math.prod(joint) <= MOST_TERMS:
            alive = live[0] * live[1]
            products = keras.ops.where(alive > 0, factors[0] + factors[1], -1.0)
            peak, count = _first_largest(products, axes), keras.ops.sum(alive, axis=axes)
            collapsed = math.prod(sizes[each] for n, each in enumerate(letters) if n in axes and joint[n] == 1)
            count = count * float(collapsed)
        else:
            peak = _first_largest(factors[0], axes) + _first_largest(factors[1], axes)
            count = float(math.prod(sizes[each] for each in summed))
        return self._sum([sizes[letter] for letter in output], peak, count)

    @override
    def sum(self, a: Width, axis: Axis, keepdims: bool = False) -> Width:
        axes = tuple(each % len(a.shape) for each in (axis if isinstance(axis, tuple) else (axis,)))
        bits = _first_largest(a.bits, axes, keepdims) + math.log2(math.prod(a.shape[each] for each in axes))
        kept = [1 if place in axes else size for place, size in enumerate(a.shape)]
        shape = [size for place, size in enumerate(kept) if keepdims or place not in axes]
        return Width(shape, bits, signed=lambda: a.signed)

    @override
    def maximum(self, a: Width, b: Width) -> Width:
        if a.values is not None and b.values is not None:
            return self.constant(np.maximum(a.values, b.values))
        joined = self._elementwise(_larger(*_same_rank(a.bits, b.bits)), a, b)
        return Width(joined.shape, joined.bits, signed=lambda: a.signed and b.signed)

    @override
    def minimum(self, a: Width, b: Width) -> Width:
        if a.values is not None and b.values is not None:
            return self.constant(np.minimum(a.values, b.values))
        return self._elementwise(_larger(*_same_rank(a.bits, b.bits)), a, b)

    @override
    def less(self, a: Width, b: Width) -> Width:
        shape = np.broadcast_shapes(a.shape, b.shape)
        return Width(shape, _constant_bits(shape, 1), signed=lambda: False)

    @override
    def select(self, condition: Width, a: Width, b: Width) -> Width:
        joined = self._elementwise(_larger(*_same_rank(a.bits, b.bits)), condition, a, b)
        return Width(joined.shape, joined.bits, signed=lambda: a.signed or b.signed)

    @override
    def quantize(self, a: Width, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str) -> Width:
        counted = np.asarray(i) + np.asarray(f) + (np.asarray(k) if overflow_mode in ("SAT", "SAT_ZERO") else 0)
        bits = np.maximum(counted, 0).reshape((1,) * (len(a.shape) - counted.ndim) + counted.shape)
        return self.quantized(a, keras.ops.convert_to_tensor(bits, dtype="float32"))

    @override
    def table(self, a: Width, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> Width:
        # The entries tell, whatever the input: a layer of which only its quantizer knows them defines `width`.
        entries = self.constant(function(np.zeros((1,) * len(a.shape))))
        return Width(a.shape, entries.bits)

    @override
    def cheapest(self, a: Width, *alternatives: Callable[[Width], Width]) -> Width:
        return alternatives[0](a)

    @override
    def reshape(self, a: Width, shape: Sequence[int]) -> Width:
        size = math.prod(a.shape)
        known = math.prod(each for each in shape if each != -1)
        whole = tuple(size // known if each == -1 else each for each in shape)
        if a.values is not None:
            return self.constant(a.values.reshape(whole))
        bits = a.bits
        if math.prod(bits.shape) == 1:
            return Width(whole, keras.ops.reshape(bits, (1,) * len(whole)), signed=lambda: a.signed)
        spread = keras.ops.reshape(keras.ops.broadcast_to(bits, a.shape), whole)
        return Width(whole, spread, signed=lambda: a.signed)

    @override
    def transpose(self, a: Width, axes: Sequence[int]) -> Width:
        if a.values is not None:
            return self.constant(a.values.transpose(tuple(axes)))
        shape = [a.shape[axis] for axis in axes]
        return Width(shape, keras.ops.transpose(a.bits, tuple(axes)), signed=lambda: a.signed)

    @override
    def concatenate(self, arrays: Sequence[Width], axis: int) -> Width:
        axis %= len(arrays[0].shape)
        shape = list(arrays[0].shape)
        shape[axis] = sum(each.shape[axis] for each in arrays)
        ranks = np.broadcast_shapes(*(_without(tuple(each.bits.shape), axis) for each in arrays))
        parts = [
            keras.ops.broadcast_to(each.bits, (*ranks[:axis], each.shape[axis], *ranks[axis + 1 :])) for each in arrays
        ]
        return Width(shape, keras.ops.concatenate(parts, axis=axis), signed=lambda: any(each.signed for each in arrays))

    @override
    def broadcast(self, a: Width, shape: Sequence[int]) -> Width:
        return Width(shape, _padded(a.bits, len(shape)), signed=lambda: a.signed)

    @override
    def gather(self, a: Width, indices: npt.ArrayLike, axis: int) -> Width:
        index = np.asarray(indices)
        axis %= len(a.shape)
        shape = (*a.shape[:axis], *index.shape, *a.shape[axis + 1 :])
        if a.values is not None:
            return self.constant(np.take(a.values, index, axis=axis))
        bits = tuple(a.bits.shape)
        if bits[axis] == 1:
            found = keras.ops.reshape(a.bits, (*bits[:axis], *(1,) * index.ndim, *bits[axis + 1 :]))
        else:
            found = keras.ops.take(a.bits, index.astype("int32"), axis=axis)
        return Width(shape, found, signed=lambda: a.signed)

    @override
    def pad(self, a: Width, widths: Sequence[tuple[int, int]]) -> Width:
        shape = [size + before + after for size, (before, after) in zip(a.shape, widths, strict=True)]
        sizes = tuple(a.bits.shape)
        # Where all elements along an axis have the same bits, what is padded has them too.
        own = [
            pair if size != 1 or whole == 1 else (0, 0)
            for pair, size, whole in zip(widths, sizes, a.shape, strict=True)
        ]
        bits = keras.ops.pad(a.bits, own) if any(map(any, own)) else a.bits
        return Width(shape, bits, signed=lambda: a.signed)

    def _elementwise(self, bits: Tensor, *operands: Width) -> Width:
        shape = np.broadcast_shapes(*(each.shape for each in operands))
        return Width(shape, _padded(bits, len(shape)), signed=lambda: any(each.signed for each in operands))

    def _sum(self, shape: Sequence[int], peak: Tensor, count: Tensor) -> Width:
        terms = keras.ops.maximum(keras.ops.convert_to_tensor(count, dtype="float32"), 1.0)
        bits = keras.ops.maximum(peak, 0.0) + keras.ops.stop_gradient(keras.ops.log(terms)) / math.log(2.0)
        return Width(shape, keras.ops.where(peak < 0.0, 0.0, bits), terms=(peak, count))


def compact(bits: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the bits of one sample with the batch axis, and size 1 along the axes on which all elements share them.

    Args:
        bits: for each element of a sample, or of its last axes.
        shape: with a batch axis, and 1 for each axis on which elements share their bits.
    """
    whole = _padded(bits, len(shape))
    shared = tuple(slice(0, 1) if size == 1 else slice(None) for size in shape)
    return whole[shared]


def _span(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the number of bits from the highest to the lowest 1 of each number; 0 of 0."""
    exact: IntegerArray = from_float(values)
    lowest = fraction_bits(exact)
    top = np.frexp(np.abs(np.asarray(values, dtype=np.float64)))[1]
    return np.where(np.asarray(values) == 0, 0, top + lowest)


def _constant_bits(shape: Sequence[int], bits: float) -> Tensor:
    return keras.ops.full((1,) * len(shape), float(bits), dtype="float32")


def _padded(bits: Tensor, rank: int) -> Tensor:
    missing = rank - len(bits.shape)
    return keras.ops.reshape(bits, (*(1,) * missing, *bits.shape)) if missing > 0 else bits


def _same_rank(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    rank = max(len(a.shape), len(b.shape))
    return _padded(a, rank), _padded(b, rank)


def _ranked(bits: Tensor, like: Tensor) -> Tensor:
    return _padded(bits, len(like.shape))


def _larger(a: Tensor, b: Tensor) -> Tensor:
    """Return the larger of both; the gradient goes to the first of equal ones."""
    return keras.ops.where(a >= b, a, b)


def _first_largest(bits: Tensor, axes: tuple[int, ...], keepdims: bool = False) -> Tensor:
    """Return the largest along axes; the gradient goes to the first of equal ones."""
    axes = tuple(axis % len(bits.shape) for axis in axes)
    if not axes:
        return bits
    rest = [axis for axis in range(len(bits.shape)) if axis not in axes]
    flat = keras.ops.reshape(keras.ops.transpose(bits, (*rest, *axes)), (*(bits.shape[axis] for axis in rest), -1))
    first = keras.ops.expand_dims(keras.ops.argmax(flat, axis=-1), -1)
    found = keras.ops.take_along_axis(flat, first, axis=-1)[..., 0]
    return keras.ops.reshape(found, [1 if n in axes else n_ for n, n_ in enumerate(bits.shape)]) if keepdims else found


def _spread(bits: Tensor, text: str, letters: Sequence[str]) -> Tensor:
    """Return the axes that letters name in the order of all letters, with size 1 where it lacks one."""
    order = [text.index(letter) for letter in letters if letter in text]
    found = keras.ops.transpose(bits, order)
    sizes = iter(found.shape)
    return keras.ops.reshape(found, [next(sizes) if letter in text else 1 for letter in letters])


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])
