"""Exact arithmetic of Keras' Masking, which makes the masks that later layers take."""

from __future__ import annotations

from typing import TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import KerasAdapter
from hgq2_core.exact.arrays import Arrays
from hgq2_layers.pooling.window_reduction import MAXIMUM

A = TypeVar("A")


class MaskingAdapter(KerasAdapter):
    """x, and 0 in the steps whose features all equal mask_value; the mask itself is an operation of the graph."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        (x,) = inputs
        value = arrays.constant(np.float32(layer.mask_value))
        differs = arrays.maximum(arrays.less(x, value), arrays.less(value, x))
        kept = MAXIMUM.exact_axes(arrays, differs, (len(arrays.shape(x)) - 1,), keepdims=True)
        return arrays.select(arrays.broadcast(kept, arrays.shape(x)), x, arrays.constant(0.0))
