"""Values of variables as arrays that a file can hold, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def value_of(variable: keras.Variable) -> NDArray[Any]:
    """Return a copy of a variable's value."""
    value = np.array(keras.ops.convert_to_numpy(variable.value))
    # An npz file cannot hold bfloat16; float32 holds all its values.
    return value.astype(np.float32) if value.dtype.kind == "V" else value


def assign(variables: Sequence[keras.Variable], values: Sequence[Any]) -> None:
    """Assign a value to each variable."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
