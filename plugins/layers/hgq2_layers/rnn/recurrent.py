"""What the recurrent layers share: the loop over the steps of a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import PositiveInt, QuantizerArg
from hgq2_core.layers.masks import implicit_mask
from hgq2_core.layers.transfer import copy_weights, shared_arguments
from hgq2_core.ops import Tensor, total
from hgq2_layers.rnn.arithmetic import Arithmetic, Exact, ScannedTensors, Tensors
from hgq2_layers.rnn.stateful import StatefulLayer
from hgq2_layers.rnn.step import RecurrentStep, Shape, changes

A = TypeVar("A")


class RecurrentLayer(StatefulLayer, RecurrentStep, kw_only=True):
    """Steps through a sequence; each step is a circuit of its own, so the sequence has a static length.

    Args:
        return_sequences: whether the outputs of all steps are given, or the last one's.
        return_state: whether the last states are given too, unquantized by `output_quantizer`.
        zero_output_for_mask: whether the output of a masked step is 0; else it is that of the step before.
        unroll: whether the steps are written out on jax too, where they are one loop unless a quantizer inside has
            state that every step changes: a range that follows, or a seed. Elsewhere they always are.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.
        parallelization_factor: how many steps run in parallel, for the cost; None for all.
        **kwargs: as in `StatefulLayer` and `RecurrentStep`.

    A mask, of (batch, steps), keeps the states, and the output of a step before, where it is false; that output is 0 in
    front of the first step. Initial states pass the quantizers of the states; without them the steps begin at 0.
    """

    return_sequences: bool = False
    return_state: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False
    input_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None
    parallelization_factor: PositiveInt | None = None

    @override
    def setup(self) -> None:
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        super().setup()
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output")

    @classmethod
    @override
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> RecurrentLayer:
        return cls(**{**shared_arguments(layer, cls), **arguments})

    @override
    def take_weights(self, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> None:
        """Take over the weights, which Keras keeps in a cell."""
        copy_weights(layer.cell, self)

    def scans(self) -> bool:
        """Return True if the steps are one loop: on jax, where nothing inside is a state that every step changes.

        There a loop is compiled once, and steps that are written out one by one.
        """
        return keras.backend.backend() == "jax" and not self.unroll and not any(map(changes, self.quantizers_inside()))

    @override
    def __call__(self, sequences: Any, initial_state: Any = None, mask: Any = None, **kwargs: Any) -> Any:
        """Call as Keras does, which finds no mask of the sequences where there are initial states too.

        Raises:
            ConfigError: another number of initial states than the layer has, or any where it is stateful.
        """
        self._states(initial_state)
        if initial_state is not None and self.stateful:
            raise ConfigError(
                f"{self.name}: a stateful layer begins with the states that it kept. Received: initial_state. Leave "
                "out one of the two: stateful=True, or initial_state."
            )
        if initial_state is None:
            return super().__call__(sequences, mask=mask, **kwargs)
        mask = implicit_mask(sequences) if mask is None else mask
        return super().__call__(sequences, initial_state=initial_state, mask=mask, **kwargs)

    @override
    def build(self, sequences_shape: Shape, initial_state_shape: Any = None) -> None:
        """Add the kernels and the bias, and build the quantizers.

        Args:
            sequences_shape: `(batch, steps, features)`, both of static size.
            initial_state_shape: of the initial states.

        Raises:
            ConfigError: another rank, no static size, or more steps in parallel than there are.
        """
        shape = tuple(sequences_shape)
        if len(shape) != 3 or None in shape[1:]:
            raise ConfigError(
                f"{self.name}: takes (batch, steps, features), steps and features of static size. Received: {shape}."
            )
        self._steps, features = (int(size or 0) for size in shape[1:])
        if (self.parallelization_factor or 1) > self._steps:
            raise ConfigError(
                f"{self.name}: parallelization_factor is at most the number of steps. "
                f"Received: parallelization_factor={self.parallelization_factor} for {self._steps} steps."
            )
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={1: self._steps, 2: features})
        self.input_quantizer.build(shape)
        self.build_step(shape[0], features)
        if self.output_quantizer is not None:
            self.output_quantizer.build(self._output_shape(shape))
        self.build_states(shape[0], [(self.units,)] * self.state_count, self.state_quantizers())
        self.built = True

    def _output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        batch, steps, _ = input_shape
        return (batch, steps, self.units) if self.return_sequences else (batch, self.units)

    def compute_output_shape(self, sequences_shape: Shape, initial_state_shape: Any = None) -> Any:
        """Return the shape of the outputs, and of the states where they are given too."""
        shape = self._output_shape(sequences_shape)
        return (shape, *[(shape[0], self.units)] * self.state_count) if self.return_state else shape

    @override
    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> Any:
        """Return the mask of the sequences for the outputs of all steps, and none for one output or for states."""
        output = keras.tree.flatten(previous_mask)[0] if self.return_sequences else None
        return [output, *[None] * self.state_count] if self.return_state else output

    @override
    def call(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor | None = None, training: bool | None = None
    ) -> Any:
        sequences, recurrent = self._with_dropout(sequences, bool(training))
        arithmetic = (ScannedTensors if self.scans() else Tensors)(bool(training), recurrent)
        weights = self.weights_of(arithmetic)
        if mask is not None:  # no quantizer observes what is masked
            sequences = keras.ops.where(arithmetic.condition(mask), sequences, 0.0)
        kept = self.kept_states
        if kept is not None:
            self.check_batch(sequences)
            initial_state = kept.read()
        result, states = self._run(arithmetic, sequences, self._states(initial_state), mask, weights)
        if kept is not None:
            kept.keep(states)
        return (result, *states) if self.return_state else result

    def _with_dropout(self, sequences: Tensor, training: bool) -> tuple[Tensor, Tensor | None]:
        """Return the sequences with dropout, and the factors of the states; one draw for all steps, as in Keras."""

        def factors(size: int, rate: float) -> Tensor:
            ones = keras.ops.ones((keras.ops.shape(sequences)[0], size), dtype=sequences.dtype)
            return keras.random.dropout(ones, rate, seed=self.seed_generator)

        if training and not self.frozen and self.dropout:
            sequences = sequences * keras.ops.expand_dims(factors(sequences.shape[-1], self.dropout), 1)
        drops = training and not self.frozen and self.recurrent_dropout
        return sequences, factors(self.units, self.recurrent_dropout) if drops else None

    @override
    def exact(  # type: ignore[override]
        self, arrays: Arrays[A], sequences: A, *states: A, initial_state: Any = None, mask: A | None = None
    ) -> Any:
        """Run the steps in integers; initial states come by position or by keyword."""
        weights = self.constants_of(arrays)
        start = [*states, *self._states(initial_state)]
        result, after = self._run(Exact(arrays), sequences, start, mask, weights)
        given = (*(after if self.return_state else ()), *(after if self.stateful else ()))
        return (result, *given) if given else result

    def _states(self, given: Any) -> list[Any]:
        """Return the initial states as a list, which is empty without any.

        Raises:
            ConfigError: another number of states than the layer has.
        """
        if given is None:
            return []
        states = list(given) if isinstance(given, list | tuple) else [given]
        if len(states) != self.state_count:
            raise ConfigError(f"{self.name}: has {self.state_count} states. Received: {len(states)} initial states.")
        return states

    def _run(
        self, arithmetic: Arithmetic[A], sequences: A, states: Sequence[A], mask: A | None, weights: Mapping[str, A]
    ) -> tuple[A, Sequence[A]]:
        condition = None if mask is None else arithmetic.condition(mask)
        x = self.entered(arithmetic, arithmetic.quantize(self.input_quantizer, sequences), weights)
        start = self.started(arithmetic, states, x)
        if condition is None:
            result, states = arithmetic.steps(
                lambda parts, before: self.step(arithmetic, parts[0], before, weights),
                [x],
                start,
                self.go_backwards,
                self.return_sequences,
            )
        else:
            # The output of the step before is a state that is kept; in front of the first step both are 0.
            nothing = start[0] if self.stateful else arithmetic.zeros(x, self.units)
            result, (_, *states) = arithmetic.steps(
                lambda parts, before: self._masked_step(arithmetic, parts[0], parts[1], before, weights),
                [x, condition],
                [nothing, *start],
                self.go_backwards,
                self.return_sequences,
            )
        if self.output_quantizer is not None:
            result = arithmetic.quantize(self.output_quantizer, result)
        return result, states

    def _masked_step(
        self, arithmetic: Arithmetic[A], x: A, condition: A, before: Sequence[A], weights: Mapping[str, A]
    ) -> Sequence[A]:
        """Return the output and the states after a step, which a false condition keeps."""
        output, *states = before
        after = self.step(arithmetic, x, states, weights)
        if self.zero_output_for_mask:
            output = arithmetic.zero(output)
        return [arithmetic.select(condition, *pair) for pair in zip((after[0], *after), (output, *states), strict=True)]

    def positions(self) -> int:
        """Return how many steps there are, once built."""
        return self._steps

    @override
    def ebops(self) -> Tensor:
        """Return the products, the biases and the tables of the steps that run in parallel."""
        parallel = float(self.parallelization_factor or self._steps)
        # Each step of the sequence may have input bits of its own: those of the steps in parallel are their mean.
        return parallel * self.ebops_of_a_step(total(self.input_quantizer.bits(), 0) / float(self._steps))
