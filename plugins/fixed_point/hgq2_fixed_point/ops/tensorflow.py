"""Fixed-point quantization for tensorflow: the formulas over its operations, gradients by `custom_gradient`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import Tensor

from hgq2_core.operations.tensorflow import OPERATIONS

from ..formulas import Formulas, Mode
from ..functional import Functions

_formulas = Formulas(OPERATIONS)


def _quantize(x: Tensor, k: Tensor, i: Tensor, fraction: Tensor, u: Tensor | None, mode: Mode) -> Tensor:
    @tf.custom_gradient
    def quantized(x: Tensor, k: Tensor, i: Tensor, fraction: Tensor) -> Any:
        q = _formulas.quantize(x, k, i, fraction, u, mode)

        def gradient(grad: Tensor) -> tuple[Tensor | None, ...]:
            grad_x, grad_i, grad_fraction = _formulas.gradients(grad, x, q, k, i, fraction, mode)
            return _formulas.xp.sum_to(grad_x, x), None, grad_i, grad_fraction

        return q, gradient

    return quantized(x, k, i, fraction)


_functions = Functions(_formulas, _quantize)

quantize, quantize_kbi = _functions.quantize, _functions.quantize_kbi
quantize_counted, quantize_following = _functions.quantize_counted, _functions.quantize_following
quantize_tracking, follow = _functions.quantize_tracking, _functions.follow
round_bits, clipped_bits = _functions.round_bits, _functions.clipped_bits
