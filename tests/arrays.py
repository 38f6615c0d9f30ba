"""Tensors of any backend as numpy arrays, and random inputs."""

import keras
import numpy as np


def numpy_of(tensor):
    """Return the values of a tensor or a variable, in memory of their own."""
    return np.array(keras.ops.convert_to_numpy(tensor))


def float64_of(tensor):
    """Return the values of a tensor or a variable as float64."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64)


def unit_values(*shape, seed=1):
    """Return float32 values of a normal distribution."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def values(*shape, seed=1):
    """Return float32 values of a normal distribution, three times as wide."""
    return unit_values(*shape, seed=seed) * 3
