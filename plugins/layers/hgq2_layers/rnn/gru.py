"""GRU with quantized inputs, weights, states, gates and activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY
from typing import TypeVar

from typing_extensions import override

from hgq2_core.layers.arguments import PositiveInt, QuantizerArg
from hgq2_core.ops import Tensor, dot, total
from hgq2_layers.activations.elementwise import ElementwiseArg
from hgq2_layers.rnn.arithmetic import Arithmetic
from hgq2_layers.rnn.cell import RecurrentCell
from hgq2_layers.rnn.gated import GatedStep, columns
from hgq2_layers.rnn.recurrent import RecurrentLayer

A = TypeVar("A")


class GRUStep(GatedStep):
    """The gated recurrent unit, from h_0 = 0, each product with quantized weights, gates z and r.

    z, r = gate(gq(x_t K + h R + b)); c = act(aq(x_t K + r rq(h R + b))), or act(aq(x_t K + rq(r h) R + b)) where the
    reset comes before the product; h_t = sq(z h + (1 - z) c).

    Args:
        units: size of the state.
        activation: of the candidate c, one of Keras' activations by name, or a function of one
            number that is registered with Keras; a table, except for `linear` and `relu`.
        recurrent_activation: of the gates, one of Keras' activations by name, or a function of one
            number that is registered with Keras; a table, except for `linear` and `relu`.
        use_bias: whether there is a bias.
        reset_after: whether the gate r resets the product with the recurrent kernel, or the state before it.
        reset_quantizer: of what the reset gate is multiplied with, or of that product: a config, a kind, a mapping, or
            None for the default of activations, saturating.
        **kwargs: as in `GatedStep` and `RecurrentStep`.

    Cost (docs/numerics.md#7), for each step that runs in parallel: sum Bx @ Bk + sum Bh @ Br + sum Bb, the products
    with the gates, and the tables.
    """

    gates = 3

    units: PositiveInt
    activation: ElementwiseArg = "tanh"
    recurrent_activation: ElementwiseArg = "sigmoid"
    use_bias: bool = True
    _: KW_ONLY
    reset_after: bool = True
    reset_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.reset_quantizer = self.add_step_quantizer(self.reset_quantizer, "reset")

    @override
    def step_widths(self) -> Mapping[str, int]:
        """Return the sizes of what is quantized inside a step, by slot."""
        return {**super().step_widths(), "reset": self.units}

    @override
    def bias_shape(self) -> tuple[int, ...]:
        """Return the shape of the bias: with a reset after the product, that has a bias too."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    @override
    def input_bias(self, arithmetic: Arithmetic[A], bias: A) -> A:
        """Return the bias of the products with the kernel."""
        return arithmetic.part(bias, 0, 0) if self.reset_after else bias

    @override
    def step(self, arithmetic: Arithmetic[A], x: A, states: Sequence[A], weights: Mapping[str, A]) -> Sequence[A]:
        (h,), units = states, self.units
        both, last = columns(0, units, 2), columns(2, units)
        recurrent = weights["recurrent_kernel"]
        before = arithmetic.dropped(self.state_quantizer, h)
        inner = arithmetic.product(before, recurrent if self.reset_after else arithmetic.part(recurrent, both, 1))
        if self.reset_after and "bias" in weights:
            inner = arithmetic.add(inner, arithmetic.part(weights["bias"], 1, 0))
        total = arithmetic.add(arithmetic.part(x, both, 1), arithmetic.part(inner, both, 1))
        gates = arithmetic.apply(self.gating, arithmetic.quantize(self.recurrent_activation_quantizer, total))
        update, reset = (arithmetic.part(gates, columns(n, units), 1) for n in range(2))
        if self.reset_after:
            kept = arithmetic.quantize(self.reset_quantizer, arithmetic.part(inner, last, 1))
            kept = arithmetic.multiply(reset, kept)
        else:
            kept = arithmetic.quantize(self.reset_quantizer, arithmetic.multiply(reset, before))
            kept = arithmetic.product(kept, arithmetic.part(recurrent, last, 1))
        total = arithmetic.add(arithmetic.part(x, last, 1), kept)
        candidate = arithmetic.apply(self.candidate, arithmetic.quantize(self.activation_quantizer, total))
        fresh = arithmetic.multiply(arithmetic.subtract(arithmetic.one(), update), candidate)
        return [arithmetic.quantize(self.state_quantizer, arithmetic.add(arithmetic.multiply(update, h), fresh))]

    @override
    def step_ebops(self, recurrent: Tensor, state: Tensor) -> Tensor:
        """Return the products with the recurrent kernel and with the gates."""
        update, reset = self.gate_bits()
        kept, columns = self.reset_quantizer.bits(), 2 * self.units
        mixed = dot(update, state) + dot(update, self.spread(self.candidate))
        if self.reset_after:
            return dot(state, total(recurrent, -1)) + dot(reset, kept) + mixed
        gates, last = total(recurrent[:, :columns], -1), total(recurrent[:, columns:], -1)
        return dot(state, gates) + dot(kept, last) + dot(reset, state) + mixed


class QGRU(GRUStep, RecurrentLayer):
    """The gated recurrent unit, stepping through a sequence; the equations are those of `GRUStep`.

    Example:
        >>> layer = QGRU(8, return_sequences=True)
    """


class QGRUCell(GRUStep, RecurrentCell):
    """The gated recurrent unit, one step: a cell of `keras.layers.RNN`; the equations are those of `GRUStep`.

    Example:
        >>> layer = keras.layers.RNN(QGRUCell(8), return_sequences=True)
    """
