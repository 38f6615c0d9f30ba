"""The few tensor operations that run for every variable at every step, without Keras' dispatch where it is slow.

On torch, the dispatch of `keras.ops` takes several times longer than the operation itself on such small tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

from hgq2_core.ops.backend import backend_module
from hgq2_core.ops.protocol import Tensor


class StepOperations:
    """The operations in `keras.ops`; a backend's module overrides those that its own functions do faster."""

    def value(self, variable: Any) -> Tensor:
        """See `value`."""
        return variable.value if isinstance(variable, keras.Variable) else variable

    def total(self, x: Tensor, axis: int | tuple[int, ...] | None) -> Tensor:
        """See `total`."""
        return keras.ops.sum(x, axis=axis)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """See `dot`."""
        return keras.ops.dot(a, b)

    def affine(self, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """See `affine`."""
        return x @ kernel + bias

    def clip(self, x: Tensor, lower: float, upper: float) -> Tensor:
        """See `clip`."""
        return keras.ops.clip(x, lower, upper)

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """See `reshape`."""
        return keras.ops.reshape(x, shape)

    def assign(self, variable: keras.Variable, values: Tensor) -> None:
        """See `assign`."""
        variable.assign(values)

    def sparing(self, tensors: Iterable[Tensor]) -> AbstractContextManager[None]:
        """See `sparing`."""
        return nullcontext()

    def step_by_step(self) -> AbstractContextManager[None]:
        """See `step_by_step`."""
        return nullcontext()

    def divide_batch(self, inputs: Any) -> Any:
        """See `divide_batch`."""
        return inputs

    def table_index(self, x: Tensor, last: int) -> Tensor:
        """See `table_index`."""
        lost = keras.ops.isnan(x)
        return keras.ops.cast(keras.ops.where(lost, last + 1.0, keras.ops.clip(x, 0.0, float(last))), "int32")

    def take_rows(self, table: Tensor, index: Tensor) -> Tensor:
        """See `take_rows`."""
        return keras.ops.take(table, index, axis=0)


@functools.cache
def _operations() -> StepOperations:
    return backend_module("hgq2_core.ops").STEP  # type: ignore[no-any-return]


def value(variable: Any) -> Tensor:
    """Return the backend tensor of a variable; a tensor is returned unchanged."""
    return _operations().value(variable)


def total(x: Tensor, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Return the sum over all elements, or along axes."""
    return _operations().total(x, axis)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the scalar product of two vectors."""
    return _operations().dot(a, b)


def affine(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return `x @ kernel + bias`."""
    return _operations().affine(x, kernel, bias)


def clip(x: Tensor, lower: float, upper: float) -> Tensor:
    """Return values clipped to bounds, without gradient; may work in place."""
    return _operations().clip(x, lower, upper)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the same values in another shape."""
    return _operations().reshape(x, shape)


def assign(variable: keras.Variable, values: Tensor) -> None:
    """Assign new values to a variable, a tensor of the same shape and dtype."""
    _operations().assign(variable, values)


def sparing(tensors: Iterable[Tensor]) -> AbstractContextManager[None]:
    """Within the context, keep for the backward pass how large tensors were computed, in place of their values.

    Args:
        tensors: quantized weights; those that are small, or of another backend, are kept as ever.
    """
    return _operations().sparing(tensors)


def step_by_step() -> AbstractContextManager[None]:
    """Within the context, take each step of a loop by itself, so that its values can be read.

    On jax a loop is compiled, and what is inside it has no values.
    """
    return _operations().step_by_step()


def divide_batch(inputs: Any) -> Any:
    """Return the inputs of a layer, each divided over the devices of Keras' `DataParallel` by its samples.

    Unchanged without it, in eager calls, and on backends other than jax.
    """
    return _operations().divide_batch(inputs)


def table_index(x: Tensor, last: int) -> Tensor:
    """Return whole floats as indices from 0 to `last`, clipped; NaN becomes `last` + 1."""
    return _operations().table_index(x, last)


def take_rows(table: Tensor, index: Tensor) -> Tensor:
    """Return the rows of a table at indices, which are all in range."""
    return _operations().take_rows(table, index)
