"""Tensors of any backend as numpy arrays."""

import keras
import numpy as np


def numpy_of(tensor):
    """Return the values of a tensor or a variable, in memory of their own."""
    return np.array(keras.ops.convert_to_numpy(tensor))


def float64_of(tensor):
    """Return the values of a tensor or a variable as float64."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64)
