"""The Keras side of no quantizer."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, Widths
from hgq2_core.keras_graph.private import running_model
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.none import NoQuantizer

A = TypeVar("A")

MANTISSA_BITS = 23
MANTISSA = (1 << MANTISSA_BITS) - 1
"""The mask of a float32's mantissa."""


class PassThrough(Quantizer[NoQuantizer]):
    """Values pass as they are.

    `input_bits`, which the layer sets, returns the derived bits of one sample; None where no graph tells them. `caller`
    returns the model in whose call the values last passed.
    """

    def __init__(self, config: NoQuantizer, slot: Slot | None = None, **kwargs: Any) -> None:
        super().__init__(config, slot, **kwargs)
        self.input_bits: Callable[[], Tensor | None] | None = None
        self.caller: Callable[[], keras.layers.Layer | None] = _none

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Keep the shape of one sample's values, or of the weight.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        self.value_shape = tuple(size or 1 for size in input_shape[1 if self.slot.batched else 0 :])
        super().build(input_shape)

    @override
    def quantize(self, x: Tensor, training: bool = False) -> Tensor:
        """Return the values unchanged."""
        if (running := running_model()) is not None:  # losses, such as the cost of a cell, are asked for after the call
            self.caller = weakref.ref(running)
        return x.value if isinstance(x, keras.Variable) else x

    @override
    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return what the values have of bits: those of a weight, or of an input by the quantizers in front.

        An activation of a layer that is in no model counts 0.
        """
        if not self.slot.batched and x is not None:
            return significant_bits(x)
        derived = None if self.input_bits is None else self.input_bits()
        return keras.ops.zeros(self.value_shape) if derived is None else keras.ops.reshape(derived, self.value_shape)

    @override
    def exact(self, arrays: Arrays[A], x: A) -> A:
        """Return the values unchanged."""
        return x

    @override
    def width(self, widths: Widths, x: Width) -> Width:
        """Return the derived width of the values, which pass."""
        widths.unquantized.setdefault(id(self), []).append(x)
        return x

    @override
    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        return {"bits": np.array(0)}


def _none() -> None:
    return None


def significant_bits(x: Tensor) -> Tensor:
    """Return the bits of each number from its highest to its lowest 1, less one: what a product with it takes."""
    whole = keras.ops.view(keras.ops.cast(keras.ops.convert_to_tensor(x), "float32"), "int32")
    mantissa = (whole & MANTISSA) | (MANTISSA + 1)
    lowest = keras.ops.cast(mantissa & -mantissa, "float32")
    places = keras.ops.round(keras.ops.log(lowest) / math.log(2.0))
    return keras.ops.where(keras.ops.equal(x, 0.0), 0.0, MANTISSA_BITS - places)
