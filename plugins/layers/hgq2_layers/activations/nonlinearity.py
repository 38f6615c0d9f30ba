"""A function of one number inside a layer: a lookup table, except for those that are exact without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras

from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor
from hgq2_layers.activations.lookup_table import TableLayer

A = TypeVar("A")

PIECEWISE_LINEAR = (keras.activations.linear, keras.activations.relu)
"""Activations that are exact without a table."""


class Nonlinearity:
    """y = f(q(z)) inside a step: a table, except for `linear` and `relu`.

    Args:
        layer: the layer that owns it.
        function: f.
        name: of the table's slot.
        input_quantizer: q; the layer applies it.
        table_quantizer: of the table's entries.
    """

    def __init__(
        self,
        layer: TableLayer,
        function: Callable[[Tensor], Tensor],
        name: str,
        input_quantizer: Any,
        table_quantizer: Any,
    ) -> None:
        self.function = function
        self.input_quantizer = input_quantizer
        self.table = (
            None if function in PIECEWISE_LINEAR else layer.add_table(table_quantizer, name, input_quantizer, function)
        )
        self.table_quantizer = None if self.table is None else self.table.quantizer

    def build(self) -> None:
        """Build the table."""
        if self.table is not None:
            self.table.build()

    def __call__(self, q: Tensor, training: bool) -> Tensor:
        """Return f of quantized values."""
        return self.function(q) if self.table is None else self.table(q, training)

    def bits(self) -> Tensor:
        """Return the bits of its values."""
        return self.input_quantizer.bits() if self.table is None else self.table.bits()

    def ebops(self) -> Any:
        """Return the cost of the table over the elements of its input."""
        return 0.0 if self.table is None else self.table.ebops()

    def exact(self, arrays: Arrays[A], q: A) -> A:
        """State the lookup, or the rectifier."""
        if self.table is not None:
            return self.table.exact(arrays, q)
        return arrays.maximum(q, arrays.constant(0.0)) if self.function is keras.activations.relu else q
