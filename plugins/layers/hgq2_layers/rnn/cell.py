"""What the recurrent cells share: one step of a layer whose loop is Keras'."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError, QLayer, Quantizer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import PositiveInt, QuantizerArg
from hgq2_core.layers.cells import DropoutCell
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.call import Call, running
from hgq2_layers.rnn.arithmetic import Arithmetic, Exact, Tensors
from hgq2_layers.rnn.step import RecurrentStep, Shape, changes

A = TypeVar("A")


class RecurrentCell(RecurrentStep, DropoutCell, kw_only=True):
    """One step, for `keras.layers.RNN` and `keras.layers.StackedRNNCells`, or applied to inputs and states by itself.

    The loop is that of Keras, from which no tensor may leave and in which no variable may change. So the ranges of all
    quantizers are fixed, the input's saturates by default too, and the cost enters the loss as a regularizer of the
    kernel does.

    Args:
        input_quantizer: a config, a kind, a mapping, or None for the default of activations, saturating.
        parallelization_factor: how many steps run in parallel, for the cost; a cell does not know how many there are.
    """

    cost_in_call = False

    input_quantizer: QuantizerArg = None
    parallelization_factor: PositiveInt = 1

    @override
    def setup(self) -> None:
        self.input_quantizer = self.add_step_quantizer(self.input_quantizer, "input")
        super().setup()

    @property
    def state_size(self) -> int | list[int]:
        """The sizes of the states, as Keras asks for them."""
        return self.units if self.state_count == 1 else [self.units] * self.state_count

    @property
    def output_size(self) -> int:
        """The size of the output."""
        return int(self.units)

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        """Return states of 0."""
        return [keras.ops.zeros((batch_size, self.units), dtype=self.compute_dtype)] * self.state_count

    @override
    def build(self, inputs_shape: Shape, states_shape: Any = None) -> None:
        """Add the kernels and the bias, and build the quantizers.

        Args:
            inputs_shape: `(batch, features)`, the features of static size.
            states_shape: of the states.

        Raises:
            ConfigError: another rank, no static size, or a quantizer that every step would change.
        """
        require_unchanging([self.input_quantizer, *self.quantizers_inside()])
        shape = tuple(inputs_shape)
        if len(shape) != 2 or shape[1] is None:
            raise ConfigError(f"{self.name}: takes (batch, features), features of static size. Received: {shape}.")
        self.input_quantizer.build(shape)
        self.build_step(shape[0], shape[1])
        add_cost_as_regularizer(self)
        self.built = True

    def compute_output_shape(self, inputs_shape: Shape, states_shape: Any = None) -> Any:
        """Return the shapes of the output and of the states."""
        state = (inputs_shape[0], self.units)
        return state, [state] * self.state_count

    @override
    def call(self, inputs: Tensor, states: Any = None, training: bool | None = None) -> Any:
        """Run one step.

        Args:
            inputs: of the step.
            states: one or a list of them; None begins at 0.
            training: as in Keras.

        Returns:
            The output, and the list of the states after the step.
        """
        given = [] if states is None else keras.tree.flatten(states)
        recurrent = None
        if training and not self.frozen:
            features, recurrent = self.dropout_factors(inputs, given[0] if given else None)
            inputs = inputs if features is None else inputs * features
        arithmetic = Tensors(bool(training), recurrent)
        after = self._run(arithmetic, inputs, given, self.weights_of(arithmetic))
        return after[0], after

    @override
    def exact(self, arrays: Arrays[A], inputs: A, *states: A) -> Any:  # type: ignore[override]
        after = self._run(Exact(arrays), inputs, states, self.constants_of(arrays))
        return (after[0], *after)

    def _run(self, arithmetic: Arithmetic[A], inputs: A, states: Sequence[A], weights: Any) -> list[A]:
        x = self.entered(arithmetic, arithmetic.quantize(self.input_quantizer, inputs), weights)
        return list(self.step(arithmetic, x, self.started(arithmetic, states, x), weights))

    @override
    def ebops(self) -> Tensor:
        """Return the products, the biases and the tables of the steps that run in parallel."""
        return float(self.parallelization_factor) * self.ebops_of_a_step(self.input_quantizer.bits())


def require_unchanging(quantizers: Iterable[Quantizer[Any]]) -> None:
    """Refuse quantizers with a state that every step would change.

    Raises:
        ConfigError: names the slot.
    """
    for quantizer in quantizers:
        if changes(quantizer):
            raise ConfigError(
                f"{quantizer.slot}: a cell runs in a loop of Keras, in which no range may follow the values, nor a "
                "seed change. Let it saturate (overflow_mode SAT_SYM or SAT), without stochastic rounding."
            )


def add_cost_as_regularizer(cell: QLayer) -> None:
    """Let the weight of a built cell that is the first to train bring its cost into the loss.

    Which one that is may change: a kernel that no longer trains must not take the cost of the bits with it.
    """
    weights = list(cell.trainable_weights)
    for weight in weights:
        weight.regularizer = _WithCost(cell, weight, weights)


class _WithCost(keras.regularizers.Regularizer):
    """The regularizer of a weight: its own, and the cell's cost where it is the first that trains."""

    def __init__(self, cell: QLayer, weight: Any, weights: Sequence[Any]) -> None:
        self.cell, self.weight, self.weights, self.own = cell, weight, weights, weight.regularizer

    def __call__(self, x: Tensor) -> Tensor:
        first = next((each for each in self.weights if each.trainable), None)
        # A call of its own: the trainer may compile it, and what is computed outside of calls is eager.
        with running(Call(self.cell)):
            cost = self.cell.in_loss() if self.weight is first else None
        terms = [cost, None if self.own is None else self.own(x)]
        return sum((term for term in terms if term is not None), keras.ops.zeros(()))
