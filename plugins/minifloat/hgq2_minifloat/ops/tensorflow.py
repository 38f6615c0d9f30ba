"""Minifloat quantization for tensorflow: the formulas over its operations, gradients by `custom_gradient`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import Tensor

from hgq2_core.operations.tensorflow import OPERATIONS

from ..formulas import Formulas, Mode
from ..functional import Functions

_formulas = Formulas(OPERATIONS)


def _quantize(x: Tensor, m: Tensor, e: Tensor, e0: Tensor, uniform: Tensor | None, mode: Mode) -> Tensor:
    @tf.custom_gradient
    def quantized(x: Tensor, m: Tensor, e: Tensor, e0: Tensor) -> Any:
        q = _formulas.quantize(x, m, e, e0, uniform, mode)
        return q, lambda grad: _formulas.gradients(grad, x, q, m, e, e0, mode)

    return quantized(x, m, e, e0)


_functions = Functions(_formulas, _quantize)

tensor, binade, quantize_counted = _formulas.xp.tensor, _formulas.xp.binade, _functions.quantize_counted
