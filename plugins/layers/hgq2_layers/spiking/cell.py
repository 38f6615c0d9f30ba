"""Spiking neurons of one step, for Keras' loop."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import PositiveInt, QuantizerArg
from hgq2_core.ops import Tensor, total
from hgq2_layers.rnn.arithmetic import Arithmetic, Exact, Tensors
from hgq2_layers.rnn.cell import add_cost_as_regularizer, require_unchanging
from hgq2_layers.rnn.step import step_quantizer
from hgq2_layers.spiking.neurons import IntegrateStep, LeakyStep
from hgq2_layers.spiking.step import Shape, SpikingStep

A = TypeVar("A")


class SpikingCell(SpikingStep):
    """One step of neurons, for `keras.layers.RNN`; their state is the membrane potential.

    Args:
        units: how many neurons there are, as many as features of the input.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations, saturating.
        parallelization_factor: how many steps run in parallel, for the cost; a cell does not know how many there are.
    """

    cost_in_call = False
    refuses_masks = None

    units: PositiveInt
    _: KW_ONLY
    input_quantizer: QuantizerArg = None
    parallelization_factor: PositiveInt = 1

    @override
    def setup(self) -> None:
        self.input_quantizer = self.add_quantizer(step_quantizer(self.input_quantizer), "activation", "input")
        super().setup()

    @property
    def state_size(self) -> int:
        """The size of the membrane potential, as Keras asks for it."""
        return int(self.units)

    output_size = state_size

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        """Return a potential of 0."""
        return [keras.ops.zeros((batch_size, self.units), dtype=self.compute_dtype)]

    @override
    def build(self, inputs_shape: Shape, states_shape: Any = None) -> None:
        """Add the parameters, and build the quantizers.

        Args:
            inputs_shape: `(batch, units)`.
            states_shape: of the states.

        Raises:
            ConfigError: another shape, or a quantizer that every step would change.
        """
        require_unchanging([self.input_quantizer, self.membrane_quantizer])
        shape = tuple(inputs_shape)
        if shape[1:] != (self.units,):
            raise ConfigError(f"{self.name}: takes (batch, units), {self.units} units. Received: {shape}.")
        self.input_quantizer.build(shape)
        self.build_step(shape[0], shape[1:])
        add_cost_as_regularizer(self)
        self.built = True

    def compute_output_shape(self, inputs_shape: Shape, states_shape: Any = None) -> Any:
        """Return the shapes of the spikes and of the states."""
        return tuple(inputs_shape), [tuple(inputs_shape)]

    @override
    def call(self, inputs: Tensor, states: Any = None, training: bool | None = None) -> Any:
        """Run one step.

        Args:
            inputs: of the step.
            states: the potential, or a list of it; None begins at 0.
            training: as in Keras.

        Returns:
            The spikes, and the list of the potential after the step.
        """
        given = [] if states is None else keras.tree.flatten(states)
        spikes, v = self._run(Tensors(bool(training)), inputs, given)
        return spikes, [v]

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> Any:
        x, *states = inputs
        return tuple(self._run(Exact(arrays), x, states))

    def _run(self, arithmetic: Arithmetic[A], inputs: A, states: Any) -> list[A]:
        x = arithmetic.quantize(self.input_quantizer, inputs)
        v = states[0] if states else arithmetic.zeros_like(x)
        return self.step(arithmetic, x, v, self.values(arithmetic))

    @override
    def ebops(self) -> Tensor:
        """Return the sums, comparisons and products of the steps that run in parallel."""
        integrated = total(keras.ops.maximum(self.input_quantizer.bits(), self.membrane_quantizer.bits()))
        return float(self.parallelization_factor) * self.ebops_of_a_step(integrated)


class QIntegrateAndFireCell(SpikingCell, IntegrateStep):
    """Integrate-and-fire neurons, one step: a cell of `keras.layers.RNN`; the equations are those of `IntegrateStep`.

    Example:
        >>> layer = keras.layers.RNN(QIntegrateAndFireCell(8), return_sequences=True)
    """


class QLeakyIntegrateAndFireCell(SpikingCell, LeakyStep):
    """Leaky integrate-and-fire neurons, one step: a cell of `keras.layers.RNN`; the equations are those of `LeakyStep`.

    Example:
        >>> layer = keras.layers.RNN(QLeakyIntegrateAndFireCell(8, beta=0.875), return_sequences=True)
    """
