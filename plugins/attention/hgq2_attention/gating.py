"""The gate of attention: weighted sums times a sigmoid, which is a lookup table."""

from __future__ import annotations

from typing import TypeVar

import keras
from typing_extensions import override

from hgq2_attention.positions import share
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.ops import Tensor, total
from hgq2_layers.activations.lookup_table import TableLayer

A = TypeVar("A")


class Gating(TableLayer, kw_only=True):
    """y = iq(x) tq(sigmoid(gq(z))), of the same shape all.

    Args:
        input_quantizer: of x: a config, a kind, a mapping, or None for the default of activations.
        gate_quantizer: of z: a config, a kind, a mapping, or None for the default of activations.
        table_quantizer: of the entries of the sigmoid's table; None for the default of tables, unsigned.

    Cost (docs/numerics.md#7): sum Bx Bt, and the table.
    """

    input_quantizer: QuantizerArg = None
    gate_quantizer: QuantizerArg = None
    table_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        self.gate_quantizer = self.add_quantizer(self.gate_quantizer, "activation", "gate")
        self.table = self.add_table(
            self.table_quantizer, "table", self.gate_quantizer, keras.ops.sigmoid, unsigned=True
        )
        self.table_quantizer = self.table.quantizer

    def build_share(self, input_shape: tuple[int | None, ...], features: int, parallel: int | None) -> None:
        """Build, and set the share of positions that the cost counts; see `Projection.build_share`."""
        self._share = share(input_shape, features, parallel)
        self.build(input_shape)

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build quantizers and table.

        Args:
            input_shape: of x and of z, batch axis included.
        """
        self.input_quantizer.build(tuple(input_shape))
        self.gate_quantizer.build(tuple(input_shape))
        self.table.build()
        self.built = True

    @override
    def call(self, inputs: Tensor, gate: Tensor, training: bool | None = None) -> Tensor:
        """Compute the equation above.

        Args:
            inputs: x.
            gate: z.
            training: Keras' own.
        """
        training = bool(training)
        factor = self.table(self.gate_quantizer.quantize(gate, training), training)
        return self.input_quantizer.quantize(inputs, training) * factor

    @override
    def ebops(self) -> Tensor:
        """Return the cost above, of the share of positions that is computed at once."""
        return (total(self.input_quantizer.bits() * self.table.bits()) + self.table.ebops()) * self._share

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        x, gate = inputs
        factor = self.table.exact(arrays, self.gate_quantizer.exact(arrays, gate))
        return arrays.multiply(self.input_quantizer.exact(arrays, x), factor)
