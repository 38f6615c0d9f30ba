"""LSTM with quantized inputs, weights, states, gates and activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import Quantizer
from hgq2_core.layers.arguments import PositiveInt, QuantizerArg
from hgq2_core.ops import Tensor, dot, total
from hgq2_layers.activations.elementwise import ElementwiseArg
from hgq2_layers.activations.nonlinearity import Nonlinearity
from hgq2_layers.rnn.arithmetic import Arithmetic
from hgq2_layers.rnn.cell import RecurrentCell
from hgq2_layers.rnn.gated import GatedStep, columns
from hgq2_layers.rnn.recurrent import RecurrentLayer

A = TypeVar("A")


class LSTMStep(GatedStep):
    """The long short-term memory, from h_0 = c_0 = 0, each product with quantized weights.

    i, f, o = gate(gq(x_t K + h R + b)); g = act(aq(x_t K + h R + b)); c_t = cq(f c + i g); h_t = sq(o act(c_t)).

    Args:
        units: size of the state.
        activation: of the candidate g and of the carry c, one of Keras' activations by name, or a function of one
            number that is registered with Keras; a table, except for `linear` and `relu`.
        recurrent_activation: of the gates, one of Keras' activations by name, or a function of one
            number that is registered with Keras; a table, except for `linear` and `relu`.
        use_bias: whether there is a bias.
        unit_forget_bias: whether the bias of the gate f starts at 1.
        carry_quantizer: of the carry: a config, a kind, a mapping, or None for the default of activations,
            saturating.
        carry_table_quantizer: of the entries of the carry's table: a config, a kind, a mapping, or None for the
            default of tables.
        **kwargs: as in `GatedStep` and `RecurrentStep`.

    Cost (docs/numerics.md#7), for each step that runs in parallel: sum Bx @ Bk + sum Bh @ Br + sum Bb, the products
    with the gates, and the tables.
    """

    gates = 4
    state_count = 2
    gating_width = 3

    units: PositiveInt
    activation: ElementwiseArg = "tanh"
    recurrent_activation: ElementwiseArg = "sigmoid"
    use_bias: bool = True
    _: KW_ONLY
    unit_forget_bias: bool = True
    carry_quantizer: QuantizerArg = None
    carry_table_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.carry_quantizer = self.add_step_quantizer(self.carry_quantizer, "carry")
        self.carried = Nonlinearity(
            self, self.activation, "carry_table", self.carry_quantizer, self.carry_table_quantizer
        )
        self.carry_table_quantizer = self.carried.table_quantizer

    @override
    def nonlinearities(self) -> Sequence[Nonlinearity]:
        """Return the functions of the candidate, of the gates and of the carry."""
        return [*super().nonlinearities(), self.carried]

    @override
    def state_quantizers(self) -> Sequence[Quantizer[Any]]:
        """Return the quantizers of the state and of the carry."""
        return [*super().state_quantizers(), self.carry_quantizer]

    @override
    def step_widths(self) -> Mapping[str, int]:
        """Return the sizes of what is quantized inside a step, by slot."""
        return {**super().step_widths(), "carry": self.units}

    @override
    def bias_start(self) -> Any:
        """Return the initializer of the bias: with `unit_forget_bias`, 1 for the gate f."""
        return self._start_bias if self.unit_forget_bias else self.bias_initializer

    def _start_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        first, ones, rest = (self.units,), (self.units,), (2 * self.units,)
        parts = [self.bias_initializer(first, dtype), keras.ops.ones(ones, dtype), self.bias_initializer(rest, dtype)]
        return keras.ops.concatenate(parts)

    @override
    def step(self, arithmetic: Arithmetic[A], x: A, states: Sequence[A], weights: Mapping[str, A]) -> Sequence[A]:
        (h, carry), units = states, self.units
        before = arithmetic.dropped(self.state_quantizer, h)
        total = arithmetic.add(x, arithmetic.product(before, weights["recurrent_kernel"]))
        gates = arithmetic.join(
            [arithmetic.part(total, columns(0, units, 2), 1), arithmetic.part(total, columns(3, units), 1)]
        )
        gates = arithmetic.apply(self.gating, arithmetic.quantize(self.recurrent_activation_quantizer, gates))
        write, keep, read = (arithmetic.part(gates, columns(n, units), 1) for n in range(3))
        candidate = arithmetic.quantize(self.activation_quantizer, arithmetic.part(total, columns(2, units), 1))
        written = arithmetic.multiply(write, arithmetic.apply(self.candidate, candidate))
        carry = arithmetic.quantize(self.carry_quantizer, arithmetic.add(arithmetic.multiply(keep, carry), written))
        h = arithmetic.multiply(read, arithmetic.apply(self.carried, carry))
        return [arithmetic.quantize(self.state_quantizer, h), carry]

    @override
    def step_ebops(self, recurrent: Tensor, state: Tensor) -> Tensor:
        """Return the products with the recurrent kernel and with the gates."""
        write, keep, read = self.gate_bits()
        products = dot(state, total(recurrent, -1))
        products = products + dot(write, self.spread(self.candidate)) + dot(keep, self.carry_quantizer.bits())
        return products + dot(read, self.spread(self.carried))


class QLSTM(LSTMStep, RecurrentLayer):
    """The long short-term memory, stepping through a sequence; the equations are those of `LSTMStep`.

    Example:
        >>> layer = QLSTM(8, return_sequences=True)
    """


class QLSTMCell(LSTMStep, RecurrentCell):
    """The long short-term memory, one step: a cell of `keras.layers.RNN`; the equations are those of `LSTMStep`.

    Example:
        >>> layer = keras.layers.RNN(QLSTMCell(8), return_sequences=True)
    """
