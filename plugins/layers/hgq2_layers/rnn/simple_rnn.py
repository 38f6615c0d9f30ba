"""SimpleRNN with quantized inputs, weights, states and activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from typing_extensions import override

from hgq2_core.layers.arguments import PositiveInt
from hgq2_core.ops import Tensor, dot, total
from hgq2_layers.activations.elementwise import ElementwiseArg
from hgq2_layers.rnn.arithmetic import Arithmetic
from hgq2_layers.rnn.cell import RecurrentCell
from hgq2_layers.rnn.recurrent import RecurrentLayer
from hgq2_layers.rnn.step import RecurrentStep

A = TypeVar("A")


class SimpleRNNStep(RecurrentStep):
    """h_t = sq(act(aq(iq(x_t) @ kq(K) + h_(t-1) @ rq(R) + bq(b)))), h_0 = 0.

    Args:
        units: size of the state.
        activation: of the candidate, one of Keras' activations by name, or a function of one number that is registered
            with Keras; a table, except for `linear` and `relu`.
        use_bias: whether there is a bias.
        **kwargs: as in `RecurrentStep`.

    Cost (docs/numerics.md#7), for each step that runs in parallel: sum Bx @ Bk + sum Bh @ Br + sum Bb, and the table.
    """

    units: PositiveInt
    activation: ElementwiseArg = "tanh"
    use_bias: bool = True

    @override
    def step(self, arithmetic: Arithmetic[A], x: A, states: Sequence[A], weights: Mapping[str, A]) -> Sequence[A]:
        before = arithmetic.dropped(self.state_quantizer, states[0])
        summed = arithmetic.add(x, arithmetic.product(before, weights["recurrent_kernel"]))
        activated = arithmetic.apply(self.candidate, arithmetic.quantize(self.activation_quantizer, summed))
        return [arithmetic.quantize(self.state_quantizer, activated)]

    @override
    def step_ebops(self, recurrent: Tensor, state: Tensor) -> Tensor:
        """Return sum Bh @ Br."""
        return dot(state, total(recurrent, -1))


class QSimpleRNN(SimpleRNNStep, RecurrentLayer):
    """The simple recurrent network, stepping through a sequence; the equations are those of `SimpleRNNStep`.

    Example:
        >>> layer = QSimpleRNN(8, return_sequences=True)
    """


class QSimpleRNNCell(SimpleRNNStep, RecurrentCell):
    """The simple recurrent network, one step: a cell of `keras.layers.RNN`; the equations are those of `SimpleRNNStep`.

    Example:
        >>> layer = keras.layers.RNN(QSimpleRNNCell(8), return_sequences=True)
    """
