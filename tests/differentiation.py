"""Values and gradients of a function of tensors, on any backend; for variables see `hgq2_core.diagnosis.gradients`."""

import keras
import numpy as np
import pytest


def require_float64():
    """Skip a test where the backend computes in float32 alone: jax, unless told otherwise before it starts."""
    if keras.backend.standardize_dtype(keras.ops.convert_to_tensor(np.zeros(1)).dtype) != "float64":
        pytest.skip("jax without JAX_ENABLE_X64 has no float64")


def differentiate(function, *inputs, upstream=None):
    """Return the value as numpy, and a gradient per input: of the sum, or of the product with `upstream`; 0 if None."""
    inputs = [np.asarray(v, np.float32) for v in inputs]
    value, gradients = _BACKENDS[keras.backend.backend()](function, inputs, upstream)
    zeros = map(np.zeros_like, inputs)
    arrays = [z if g is None else keras.ops.convert_to_numpy(g) for z, g in zip(zeros, gradients, strict=True)]
    return keras.ops.convert_to_numpy(value), *arrays


def _torch(function, inputs, upstream):
    import torch

    tensors = [torch.tensor(v, requires_grad=True) for v in inputs]
    value = function(*tensors)
    above = torch.ones_like(value) if upstream is None else torch.tensor(upstream)
    return value.detach(), torch.autograd.grad(value, tensors, above, allow_unused=True)


def _jax(function, inputs, upstream):
    import jax

    value, pull_back = jax.vjp(function, *map(jax.numpy.asarray, inputs))
    return value, pull_back(jax.numpy.ones_like(value) if upstream is None else jax.numpy.asarray(upstream))


def _tensorflow(function, inputs, upstream):
    import tensorflow as tf

    tensors = [tf.constant(v) for v in inputs]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return value, tape.gradient(value, tensors, None if upstream is None else tf.constant(upstream))


_BACKENDS = {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow}
