"""What the functions of `ops` receive, as torch tensors."""

from __future__ import annotations

from typing import Any

import keras
import torch
from torch import Tensor

from .arithmetic import LAYOUTS

SIGNED = 1.0
"""What k is for formats that are all signed, told by identity to spare a multiplication."""


def as_tensor(v: Any) -> Tensor:
    """Give bits, from a variable, a tensor or numbers."""
    if isinstance(v, keras.Variable):
        return v.value
    return v if isinstance(v, Tensor) else keras.ops.convert_to_tensor(v, "float32")


def as_sign(k: Any) -> Tensor | float:
    """Give k without a gradient; a number where all elements agree."""
    if isinstance(k, int | float):
        return SIGNED if k == 1 else float(k)
    return as_tensor(k).detach()


def as_values(x: Any) -> Tensor:
    """Give values, narrow ones as float32."""
    x = x.value if isinstance(x, keras.Variable) else x if isinstance(x, Tensor) else keras.ops.convert_to_tensor(x)
    return x if x.dtype in LAYOUTS else x.to(torch.float32)
