"""Gradients with respect to variables, for which Keras has no backend-independent function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from hgq2_core.ops import Tensor

Compute = Callable[[], Tensor]
Values = npt.NDArray[Any]


def gradients(compute: Compute, variables: Sequence[keras.Variable]) -> list[Values]:
    """Return the gradients of a scalar; the variables keep their values.

    Args:
        compute: computes the scalar from the present values of the variables.
        variables: the variables to differentiate with respect to.

    Returns:
        One array for each variable, of its shape; zeros if the scalar does not depend on it.
    """
    found = known_gradients(compute, variables)
    return [
        np.zeros(tuple(variable.shape)) if gradient is None else gradient
        for variable, gradient in zip(variables, found, strict=True)
    ]


def known_gradients(compute: Compute, variables: Sequence[keras.Variable]) -> list[Values | None]:
    """Return gradients like `gradients`; None for a variable that the scalar, by the backend, does not depend on."""
    found = _BACKENDS[keras.backend.backend()](compute, variables)
    return [None if gradient is None else np.asarray(keras.ops.convert_to_numpy(gradient)) for gradient in found]


def _torch(compute: Compute, variables: Sequence[keras.Variable]) -> Sequence[Tensor | None]:
    import torch

    scalar = compute()
    if not scalar.requires_grad:
        return [None] * len(variables)
    return torch.autograd.grad(scalar, [variable.value for variable in variables], allow_unused=True)  # type: ignore[no-any-return]


def _tensorflow(compute: Compute, variables: Sequence[keras.Variable]) -> Sequence[Tensor | None]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        scalar = compute()
    return tape.gradient(scalar, [variable.value for variable in variables])  # type: ignore[no-any-return]


def _jax(compute: Compute, variables: Sequence[keras.Variable]) -> Sequence[Tensor | None]:
    import jax

    def scalar(values: list[Tensor]) -> Tensor:
        # Assignments and losses of the computation stay in the scope.
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True), collect_losses=True):
            return compute()

    return jax.grad(scalar)([variable.value for variable in variables])  # type: ignore[no-any-return]


_BACKENDS = {"torch": _torch, "tensorflow": _tensorflow, "jax": _jax}
