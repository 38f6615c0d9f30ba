"""The few tensor operations that run for every variable at every step, without Keras' dispatch where that costs most.

On torch, `keras.ops` spends several times longer than the operation itself on tensors this small.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import keras

Tensor = Any


class _Operations(Protocol):
    def value(self, variable: Any) -> Tensor: ...
    def total(self, x: Tensor, axis: int | tuple[int, ...] | None) -> Tensor: ...
    def dot(self, a: Tensor, b: Tensor) -> Tensor: ...
    def affine(self, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor: ...
    def clip(self, x: Tensor, lower: float, upper: float) -> Tensor: ...
    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor: ...
    def assign(self, variable: keras.Variable, values: Tensor) -> None: ...


class _Keras:
    def value(self, variable: Any) -> Tensor:
        return variable.value if isinstance(variable, keras.Variable) else variable

    def total(self, x: Tensor, axis: int | tuple[int, ...] | None) -> Tensor:
        return keras.ops.sum(x, axis=axis)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        return keras.ops.dot(a, b)

    def affine(self, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        return x @ kernel + bias

    def clip(self, x: Tensor, lower: float, upper: float) -> Tensor:
        return keras.ops.clip(x, lower, upper)

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return keras.ops.reshape(x, shape)

    def assign(self, variable: keras.Variable, values: Tensor) -> None:
        variable.assign(values)


class _TensorFlow(_Keras):
    def value(self, variable: Any) -> Tensor:
        import tensorflow as tf

        # There a variable's value is a variable too, which a function with a gradient of its own may not use.
        return tf.convert_to_tensor(variable.value) if isinstance(variable, keras.Variable) else variable


class _Torch(_Keras):
    def total(self, x: Tensor, axis: int | tuple[int, ...] | None) -> Tensor:
        return self.value(x).sum() if axis is None else self.value(x).sum(axis)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        return self.value(a).dot(self.value(b))

    def affine(self, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        # One node in place of two, and one pass over the outputs less.
        return self.value(bias).addmm(x, self.value(kernel)) if x.ndim == 2 else super().affine(x, kernel, bias)

    def clip(self, x: Tensor, lower: float, upper: float) -> Tensor:
        return self.value(x).detach().clamp_(lower, upper)

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self.value(x).reshape(shape)

    def assign(self, variable: keras.Variable, values: Tensor) -> None:
        variable.value.detach().copy_(values)


_BACKENDS = {"torch": _Torch, "tensorflow": _TensorFlow}


@functools.cache
def _operations() -> _Operations:
    return _BACKENDS.get(keras.backend.backend(), _Keras)()


def value(variable: Any) -> Tensor:
    """Give a variable's backend tensor; a tensor is given back."""
    return _operations().value(variable)


def total(x: Tensor, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Give the sum over all elements, or along axes."""
    return _operations().total(x, axis)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Give the scalar product of two vectors."""
    return _operations().dot(a, b)


def affine(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Give `x @ kernel + bias`."""
    return _operations().affine(x, kernel, bias)


def clip(x: Tensor, lower: float, upper: float) -> Tensor:
    """Bring values within bounds, without gradient; may overwrite them."""
    return _operations().clip(x, lower, upper)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Give the same values in another shape."""
    return _operations().reshape(x, shape)


def assign(variable: keras.Variable, values: Tensor) -> None:
    """Give a variable new values, a tensor of its own shape and dtype."""
    _operations().assign(variable, values)
