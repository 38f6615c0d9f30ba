"""Exact arithmetic of Keras' Rescaling, where nothing rounds."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ExactnessError, KerasAdapter
from hgq2_core.exact.arrays import Arrays

A = TypeVar("A")


class RescalingAdapter(KerasAdapter):
    """y = scale x + offset, of numbers that float32 holds: a shift where the scale is a power of two."""

    exact_where = "float32 holds scale and offset"

    @override
    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse numbers that Keras would round before it uses them, such as 1/255."""
        for name in ("scale", "offset"):
            values = np.asarray(getattr(layer, name), dtype=np.float64)
            rounded = values[values.astype(np.float32) != values]
            if rounded.size:
                value = float(rounded.flat[0])
                near = math.copysign(2.0 ** round(math.log2(abs(value))), value)
                raise ExactnessError(
                    f"{layer.name}: {name} of an exact Rescaling is a number that float32 holds. "
                    f"Received: {name}={value!r}. Use {near!r}, a power of two, or rescaling "
                    "(QRescaling), which quantizes it."
                )

    @override
    def keeps(self, layer: keras.layers.Layer) -> bool:
        """Keep a layer whose numbers float32 holds; `rescaling` quantizes those of others."""
        try:
            self.check(layer)
        except ExactnessError:
            return False
        return True

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Shift or multiply, and add."""
        (x,) = inputs
        scale, offset = _scale(layer), np.asarray(layer.offset, dtype=np.float64)
        mantissa, exponent = np.frexp(scale)
        if np.all(mantissa == 0.5):
            outputs = arrays.shift(x, exponent.astype(np.int64) - 1)
        else:
            outputs = arrays.multiply(x, arrays.constant(scale))
        return arrays.add(outputs, arrays.constant(offset)) if np.any(offset) else outputs


def _scale(layer: Any) -> Any:
    scale = np.asarray(layer.scale, dtype=np.float64)
    if scale.ndim and keras.config.image_data_format() == "channels_first":  # Keras does this to the scale alone
        return scale.reshape(scale.shape + (1,) * (3 - scale.ndim))
    return scale
