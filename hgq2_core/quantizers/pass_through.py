"""The Keras side of no quantizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import keras
import numpy as np

from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, Widths
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.none import NoQuantizer

A = TypeVar("A")


class PassThrough(Quantizer[NoQuantizer]):
    """Values pass as they are."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Keep the shape of one sample's values, or of the weight.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        self.value_shape = tuple(size or 1 for size in input_shape[1 if self.slot.batched else 0 :])
        super().build(input_shape)

    def quantize(self, x: Tensor, training: bool = False) -> Tensor:
        """Return the values unchanged."""
        return x.value if isinstance(x, keras.Variable) else x

    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return 0 for every element."""
        return keras.ops.zeros(self.value_shape)

    def exact(self, arrays: Arrays[A], x: A) -> A:
        """Return the values unchanged."""
        return x

    def width(self, widths: Widths, x: Width) -> Width:
        """Return the derived width of the values, which pass."""
        return x

    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return 0 bits."""
        return {"bits": np.array(0)}
