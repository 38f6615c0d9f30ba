"""Which positions may attend to which: all masks of a call together, for tensors and for exact operands."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Generic, TypeVar

import keras
import numpy as np
import numpy.typing as npt

from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor

A = TypeVar("A")


@dataclass(frozen=True)
class Masks(Generic[A]):
    """The masks of a call; None where there is none. What is not 0 counts as true.

    Args:
        query: (batch, T).
        value: (batch, S).
        key: (batch, S).
        attention: (batch, T, S), or with axes for heads and other positions before the last two.
        static: of the layer and the call themselves, (1, T, S).
    """

    query: A | None
    value: A | None
    key: A | None
    attention: A | None
    static: npt.NDArray[np.bool_] | None

    def tensor(self, rank: int, position_axes: int) -> Tensor | None:
        """Return the conjunction.

        Args:
            rank: of the scores, whose axes it gets.
            position_axes: how many of them are for positions, of queries and of keys together.
        """
        parts = [keras.ops.expand_dims(_bool(self.query), -1)] if self.query is not None else []
        parts += [keras.ops.expand_dims(_bool(each), -2) for each in (self.value, self.key) if each is not None]
        parts += [] if self.static is None else [keras.ops.convert_to_tensor(self.static)]
        parts += [] if self.attention is None else [_bool(self.attention)]
        if not parts:
            return None
        mask = functools.reduce(keras.ops.logical_and, parts)
        for _ in range(rank - len(mask.shape)):
            mask = keras.ops.expand_dims(mask, -position_axes - 1)
        return mask

    def exact(self, arrays: Arrays[A], rank: int, position_axes: int) -> A | None:
        """Return the conjunction as a condition; see `tensor`."""

        def true(mask: A) -> A:
            return arrays.less(arrays.constant(0), arrays.maximum(mask, arrays.negate(mask)))

        def spread(mask: A, axis: int) -> A:
            shape = list(arrays.shape(mask))
            shape.insert(len(shape) + 1 + axis, 1)
            return arrays.reshape(true(mask), shape)

        parts = [] if self.query is None else [spread(self.query, -1)]
        parts += [spread(each, -2) for each in (self.value, self.key) if each is not None]
        parts += [] if self.static is None else [arrays.constant(self.static.astype(np.int64))]
        parts += [] if self.attention is None else [true(self.attention)]
        if not parts:
            return None
        condition = functools.reduce(arrays.minimum, parts)
        shape = arrays.shape(condition)
        lead = len(shape) - position_axes
        return arrays.reshape(condition, (*shape[:lead], *(1,) * (rank - len(shape)), *shape[lead:]))


def static_mask(queries: int, keys: int, causal: bool, window: int | None) -> npt.NDArray[np.bool_] | None:
    """Return what is known without data, (1, queries, keys), or None.

    Args:
        queries, keys: positions of each.
        causal: whether a position attends to none after it.
        window: attends only to positions nearer than this; None for all.
    """
    distance = np.arange(queries)[:, np.newaxis] - np.arange(keys)
    allowed = np.ones(distance.shape, bool)
    if causal:
        allowed &= distance >= 0
    if window is not None:
        allowed &= np.abs(distance) < window
    return allowed[np.newaxis] if causal or window is not None else None


def _bool(mask: Tensor) -> Tensor:
    return keras.ops.cast(mask, "bool")
