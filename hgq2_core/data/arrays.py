"""Arrays by name, and rows that are read from a file when they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Any
"""An array or `Rows`, samples first; or several of them, as a mapping by the names of inputs or outputs, or a list."""

CHUNK_BYTES = 1 << 24
"""Size of what is read at once of an array that is not in memory."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of an array that is not in memory; slicing reads them.

    It has what batches, calibration and verification ask of an array: a length, a shape, a dtype and slices.

    Args:
        source: the array, such as a `numpy.memmap`.
        index: which of its rows, in order.
        change: applied to rows that were read; it keeps their number.
    """

    source: Any
    index: NDArray[np.intp]
    change: Callable[[NDArray[Any]], NDArray[Any]] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        rows: NDArray[Any] = np.asarray(self.source[self.index[chosen]])
        return rows if self.change is None else self.change(rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all rows in memory."""
        return np.asarray(self[:], dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, as of an array."""
        return (len(self), *self[:1].shape[1:])

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the rows."""
        return self[:1].dtype

    def take(self, chosen: NDArray[np.intp]) -> Rows:
        """Return some of these rows, without reading them."""
        return Rows(self.source, self.index[chosen], self.change)

    def changed(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Rows:
        """Return these rows, with a further change when they are read."""
        before = self.change
        return Rows(self.source, self.index, change if before is None else lambda rows: change(before(rows)))


def leaves(arrays: Arrays) -> list[Any]:
    """Return the arrays, in order."""
    if isinstance(arrays, Mapping):
        return list(arrays.values())
    return list(arrays) if isinstance(arrays, list | tuple) else [arrays]


def mapped(change: Callable[..., Any], arrays: Arrays, *others: Arrays) -> Any:
    """Return the results of a function for each array, in the same structure.

    Args:
        change: takes an array, and the corresponding ones of `others`.
        arrays: one or several arrays.
        others: of the same structure.
    """
    if isinstance(arrays, Mapping):
        return {name: change(array, *(other[name] for other in others)) for name, array in arrays.items()}
    if isinstance(arrays, list | tuple):
        return [change(*each) for each in zip(arrays, *others, strict=True)]
    return change(arrays, *others)


def named(arrays: Arrays, alone: str) -> dict[str, Any]:
    """Return arrays by name.

    Args:
        arrays: one array, or a mapping.
        alone: the name of an array that has none.
    """
    return dict(arrays) if isinstance(arrays, Mapping) else {alone: arrays}


def in_memory(arrays: Arrays) -> bool:
    """Return True if no array is read from a file when it is needed."""
    return not any(isinstance(array, Rows) for array in leaves(arrays))


def take(array: Any, chosen: NDArray[np.intp]) -> Any:
    """Return rows of an array; those of `Rows` are not read."""
    return array.take(chosen) if isinstance(array, Rows) else array[chosen]


def changed(array: Any, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
    """Return an array after a change of each row; that of `Rows` is made when they are read."""
    return array.changed(change) if isinstance(array, Rows) else change(array)


def chunks(array: Any) -> Iterator[NDArray[Any]]:
    """Yield consecutive rows, together all of them, a few megabytes at a time.

    Args:
        array: an array, a memory map or `Rows`.
    """
    row = max(1, math.prod(array.shape[1:]) * np.dtype(array.dtype).itemsize)
    step = max(1, CHUNK_BYTES // row)
    for start in range(0, len(array), step):
        yield np.asarray(array[start : start + step])
