"""Spiking neurons that step through a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import PositiveInt, QuantizerArg
from hgq2_core.ops import Tensor, total
from hgq2_layers.rnn.arithmetic import Arithmetic, Exact, ScannedTensors, Tensors
from hgq2_layers.rnn.stateful import StatefulLayer
from hgq2_layers.spiking.neurons import IntegrateStep, Leak, LeakyStep
from hgq2_layers.spiking.step import Positive, ResetMechanism, Shape, SpikingStep

A = TypeVar("A")


class SpikingLayer(StatefulLayer, SpikingStep, kw_only=True):
    """Neurons for each element of (batch, steps, ...). Axis 1 counts steps, each a separate circuit.

    Args:
        return_sequences: whether the spikes of all steps are given, as is the rule here, or the last one's.
        return_state: whether the last membrane potential v is given too, such as to read out from it.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        parallelization_factor: how many steps run in parallel, for the cost; None for all.
        **kwargs: as in `StatefulLayer` and `SpikingStep`. The state is the membrane potential v.
    """

    refuses_masks = "a circuit runs all its steps, from a membrane of zero"

    return_sequences: bool = True
    return_state: bool = False
    input_quantizer: QuantizerArg = None
    parallelization_factor: PositiveInt | None = None

    @override
    def setup(self) -> None:
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        super().setup()

    @override
    def build(self, input_shape: Shape) -> None:
        """Build the quantizers.

        Args:
            input_shape: `(batch, steps, ...)`, the steps of static size.

        Raises:
            ConfigError: no steps, no static number of them, or fewer than run in parallel.
        """
        shape = tuple(input_shape)
        if len(shape) < 2 or shape[1] is None:
            raise ConfigError(f"{self.name}: takes (batch, steps, ...), a static number of steps. Received: {shape}.")
        self._steps = shape[1]
        if (self.parallelization_factor or 1) > self._steps:
            raise ConfigError(
                f"{self.name}: parallelization_factor is at most the number of steps. "
                f"Received: parallelization_factor={self.parallelization_factor} for {self._steps} steps."
            )
        self.input_spec = keras.layers.InputSpec(ndim=len(shape), axes={1: self._steps})
        self.input_quantizer.build(shape)
        self.build_step(shape[0], shape[2:])
        self.build_states(shape[0], [shape[2:]], [self.membrane_quantizer])
        self.built = True

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """Return the shape of the spikes, and of the membrane potential where it is given too."""
        batch, steps, *rest = input_shape
        spikes = (batch, steps, *rest) if self.return_sequences else (batch, *rest)
        return (spikes, (batch, *rest)) if self.return_state else spikes

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        arithmetic = (ScannedTensors if self.scans() else Tensors)(bool(training))
        self.check_batch(inputs)
        kept = self.kept_states
        spikes, v = self._run(arithmetic, inputs, [] if kept is None else kept.read())
        if kept is not None:
            kept.keep([v])
        return (spikes, v) if self.return_state else spikes

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> Any:
        x, *states = inputs
        spikes, v = self._run(Exact(arrays), x, [self.kept_potential(arrays, state) for state in states])
        given = (*((v,) if self.return_state else ()), *((v,) if self.stateful else ()))
        return (spikes, *given) if given else spikes

    def _run(self, arithmetic: Arithmetic[A], inputs: A, states: Sequence[A]) -> tuple[A, A]:
        x = arithmetic.quantize(self.input_quantizer, inputs)
        nothing = arithmetic.zeros_like(arithmetic.part(x, 0, 1))
        (start,) = states or [nothing]
        values = self.values(arithmetic)
        spikes, (_, v) = arithmetic.steps(
            lambda parts, before: self.step(arithmetic, parts[0], before[1], values),
            [x],
            [nothing, start],
            self.go_backwards,
            self.return_sequences,
        )
        return spikes, v

    def positions(self) -> int:
        """Return how many steps there are, once built."""
        return self._steps

    @override
    def ebops(self) -> Tensor:
        """Return the sums, comparisons and products of the steps that run in parallel."""
        entered, membrane = self.input_quantizer.bits(), self.membrane_quantizer.bits()
        # Each step may have input bits of its own: those of the steps in parallel are their mean.
        integrated = total(keras.ops.maximum(entered, membrane)) / float(self._steps)
        return float(self.parallelization_factor or self._steps) * self.ebops_of_a_step(integrated)


class QIntegrateAndFire(IntegrateStep, SpikingLayer):
    """Integrate-and-fire neurons, stepping through a sequence; the equations are those of `IntegrateStep`.

    Example:
        >>> model = keras.Sequential([keras.Input((10, 64)), QDense(32), QIntegrateAndFire(), QSum(1)])
    """

    threshold: Positive = 1.0
    reset_mechanism: ResetMechanism = "subtract"


class QLeakyIntegrateAndFire(LeakyStep, SpikingLayer):
    """Leaky integrate-and-fire neurons, stepping through a sequence; the equations are those of `LeakyStep`.

    Example:
        >>> layer = QLeakyIntegrateAndFire(beta=0.875, surrogate="arctan")
    """

    beta: Leak
    threshold: Positive = 1.0
    reset_mechanism: ResetMechanism = "subtract"
