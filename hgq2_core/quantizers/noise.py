"""The share of its quantization error that a quantizer adds in training: a variable, which a callback may raise."""

from __future__ import annotations

from typing import Any

import keras

from hgq2_core.ops import Tensor
from hgq2_core.quantizers.base import Quantizer


def add_noise(quantizer: Quantizer[Any], share: float) -> keras.Variable | None:
    """Add the share to a quantizer; for its `build`.

    Args:
        quantizer: the quantizer.
        share: the first value, from 0 to 1.

    Returns:
        A float32 scalar that gradients do not move; None for a share of 1, at which training sees quantized values.
    """
    if share == 1.0:
        return None
    return quantizer.add_weight(
        name="noise",
        shape=(),
        initializer=keras.initializers.Constant(share),
        dtype="float32",
        trainable=False,
        autocast=False,
    )


def with_noise(share: keras.Variable | None, quantized: Tensor, x: Tensor, training: bool) -> Tensor:
    """Return quantized values; in training, `x` with a share of the quantization error.

    Args:
        share: what `add_noise` returned.
        quantized: the quantized values.
        x: the values before.
        training: whether training sees the values.
    """
    return quantized if share is None or not training else share * quantized + (1.0 - share) * x
