"""What the recurrent layers share: their arguments and slots, and the loop over the steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import keras
from pydantic import Field

from hgq2_core import ConfigError, Quantizer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import (
    ConstraintArg,
    InitializerArg,
    PositiveInt,
    QuantizerArg,
    RegularizerArg,
)
from hgq2_core.layers.masks import implicit_mask
from hgq2_core.layers.transfer import copy_weights, shared_arguments
from hgq2_core.ops import Tensor, total
from hgq2_core.quantizers.defaults import adapted
from hgq2_core.quantizers.ranges import ObservedRange
from hgq2_layers.activations.lookup_table import TableLayer
from hgq2_layers.activations.nonlinearity import Nonlinearity
from hgq2_layers.rnn.arithmetic import Arithmetic, Exact, ScannedTensors, Tensors

A = TypeVar("A")


Rate = Annotated[float, Field(ge=0, lt=1)]
Shape = tuple[int | None, ...]

WEIGHTS = ("kernel", "recurrent_kernel", "bias")
"""The slots whose constants are no tables."""


class RecurrentLayer(TableLayer, kw_only=True):
    """Steps through a sequence; a subclass says what a step does to the states.

    Each step is a circuit of its own, so the sequence has a static length. The quantizers inside a
    step (of states and activations) are the same in all steps. They saturate by default: a range
    that follows the values would be a state that every step changes.

    A subclass has the arguments `units`, `activation` and `use_bias` too, where Keras takes them.

    Args:
        kernel_initializer: Keras initializer of K.
        recurrent_initializer: Keras initializer of R.
        bias_initializer: Keras initializer of b.
        kernel_regularizer: Keras regularizer of K, or None.
        recurrent_regularizer: Keras regularizer of R, or None.
        bias_regularizer: Keras regularizer of b, or None.
        kernel_constraint: Keras constraint of K, or None.
        recurrent_constraint: Keras constraint of R, or None.
        bias_constraint: Keras constraint of b, or None.
        dropout: share of the features that is dropped in training, the same in all steps of a sequence, in front of the
            input quantizer.
        recurrent_dropout: share of the state that is dropped in training, the same in all steps of a sequence, for the
            products with the recurrent kernel; what is left is quantized again.
        seed: of both; None for Keras' own.
        return_sequences: whether the outputs of all steps are given, or the last one's.
        return_state: whether the last states are given too, unquantized by `output_quantizer`.
        go_backwards: whether the steps go from the end to the beginning.
        stateful: must be False: what a sample begins with is its `initial_state`.
        zero_output_for_mask: whether the output of a masked step is 0; else it is that of the step before.
        unroll: whether the steps are written out on jax too, where they are one loop unless a quantizer inside has
            state that every step changes: a range that follows, or a seed. Elsewhere they always are.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        kernel_quantizer: a config, a kind, a mapping, or None for the default of weights.
        recurrent_quantizer: of the recurrent kernel: a config, a kind, a mapping, or None for the default of weights.
        bias_quantizer: a config, a kind, a mapping, or None for the default of biases.
        state_quantizer: of the state, which is the output of a step too: a config, a kind, a mapping, or None for the
            default of activations, saturating.
        activation_quantizer: of what goes into the activation: a config, a kind, a mapping, or None for the default of
            activations, saturating.
        activation_table_quantizer: of the entries of the activation's table: a config, a kind, a mapping, or None for
            the default of tables.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.
        parallelization_factor: how many steps run in parallel, for the cost; None for all.

    A mask, of (batch, steps), keeps the states, and the output of a step before, where it is false; that output is 0 in
    front of the first step. Initial states pass the quantizers of the states; without them the steps begin at 0.
    """

    gates = 1
    """How many times `units` the kernels are wide."""

    state_count = 1
    """How many states there are; the first is the output."""

    states = None
    """Keras' word for what a stateful layer keeps from batch to batch."""

    kernel_initializer: InitializerArg = "glorot_uniform"
    recurrent_initializer: InitializerArg = "orthogonal"
    bias_initializer: InitializerArg = "zeros"
    kernel_regularizer: RegularizerArg = None
    recurrent_regularizer: RegularizerArg = None
    bias_regularizer: RegularizerArg = None
    kernel_constraint: ConstraintArg = None
    recurrent_constraint: ConstraintArg = None
    bias_constraint: ConstraintArg = None
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    seed: int | None = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False
    input_quantizer: QuantizerArg = None
    kernel_quantizer: QuantizerArg = None
    recurrent_quantizer: QuantizerArg = None
    bias_quantizer: QuantizerArg = None
    state_quantizer: QuantizerArg = None
    activation_quantizer: QuantizerArg = None
    activation_table_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None
    parallelization_factor: PositiveInt | None = None

    def setup(self) -> None:
        """Make the quantizers and the table of the candidate.

        Raises:
            ConfigError: what a circuit has not: states that are kept from sample to sample.
        """
        super().setup()
        if self.stateful:
            raise ConfigError(
                f"{self.name}: stateful is not supported: every sample begins with states of zero, or with its "
                "initial_state. Received: stateful=True. Allowed: False. For a circuit of one step that takes and "
                "gives its state, use sequences of one step, initial_state and return_state=True."
            )
        # Without dropout there is no state of a generator to save.
        self.seed_generator = keras.random.SeedGenerator(self.seed) if self.dropout or self.recurrent_dropout else None
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        self.kernel_quantizer = self.add_quantizer(self.kernel_quantizer, "weight", "kernel")
        self.recurrent_quantizer = self.add_quantizer(self.recurrent_quantizer, "weight", "recurrent_kernel")
        self.bias_quantizer = self.add_quantizer(self.bias_quantizer, "bias", "bias") if self.use_bias else None
        self.state_quantizer = self.add_step_quantizer(self.state_quantizer, "state")
        self.activation_quantizer = self.add_step_quantizer(self.activation_quantizer, "activation")
        self.candidate = Nonlinearity(
            self, self.activation, "activation_table", self.activation_quantizer, self.activation_table_quantizer
        )
        self.activation_table_quantizer = self.candidate.table_quantizer
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output")

    @classmethod
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> RecurrentLayer:
        """Take over the arguments."""
        return cls(**{**shared_arguments(layer, cls), **arguments})

    def take_weights(self, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> None:
        """Take over the weights, which Keras keeps in a cell."""
        copy_weights(layer.cell, self)

    def add_step_quantizer(self, quantizer: Any, name: str) -> Quantizer[Any]:
        """Make the quantizer of a slot inside a step, whose default saturates."""
        return self.add_quantizer(step_quantizer(quantizer), "activation", name)

    def nonlinearities(self) -> Sequence[Nonlinearity]:
        """Return the functions inside a step."""
        return [self.candidate]

    def state_quantizers(self) -> Sequence[Quantizer[Any]]:
        """Return the quantizers of the states, in their order."""
        return [self.state_quantizer]

    def step_widths(self) -> Mapping[str, int]:
        """Return the sizes of what is quantized inside a step, by slot."""
        return {"state": self.units, "activation": self.units}

    def scans(self) -> bool:
        """Return True if the steps are one loop: on jax, where nothing inside is a state that every step changes.

        There a loop is compiled once, and steps that are written out one by one.
        """
        changing = any(
            isinstance(each.range, ObservedRange) or len(each.variables) > len(each.weights)
            for each in self._inside_steps()
        )
        return keras.backend.backend() == "jax" and not self.unroll and not changing

    def _inside_steps(self) -> list[Quantizer[Any]]:
        tables = [function.table_quantizer for function in self.nonlinearities()]
        return [*map(self.slot_quantizer, self.step_widths()), *(table for table in tables if table is not None)]

    @abstractmethod
    def step(self, arithmetic: Arithmetic[A], x: A, states: Sequence[A], weights: Mapping[str, A]) -> Sequence[A]:
        """Return the states after a step.

        Args:
            arithmetic: tensors, or exact arrays.
            x: the step's input times the kernel, with the bias.
            states: before the step.
            weights: quantized, by slot.
        """

    @abstractmethod
    def step_ebops(self, recurrent: Tensor, state: Tensor) -> Any:
        """Return the cost of the products of one step, but those with the kernel.

        Args:
            recurrent: bits of the recurrent kernel.
            state: bits of the state.
        """

    def bias_shape(self) -> tuple[int, ...]:
        """Return the shape of the bias."""
        return (self.gates * self.units,)

    def input_bias(self, arithmetic: Arithmetic[A], bias: A) -> A:
        """Return the bias of the products with the kernel."""
        return bias

    def bias_start(self) -> Any:
        """Return the initializer of the bias."""
        return self.bias_initializer

    def __call__(self, sequences: Any, initial_state: Any = None, mask: Any = None, **kwargs: Any) -> Any:
        """Call as Keras does, which finds no mask of the sequences where there are initial states too.

        Raises:
            ConfigError: another number of initial states than the layer has.
        """
        self._states(initial_state)
        if initial_state is None:
            return super().__call__(sequences, mask=mask, **kwargs)
        mask = implicit_mask(sequences) if mask is None else mask
        return super().__call__(sequences, initial_state=initial_state, mask=mask, **kwargs)

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
        width = self.gates * self.units
        self.input_quantizer.build(shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, width),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.kernel_quantizer.build((features, width))
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, width),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.recurrent_quantizer.build((self.units, width))
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self.bias_shape(),
                initializer=self.bias_start(),
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
            self.bias_quantizer.build(self.bias_shape())
        for name, size in self.step_widths().items():
            self.slot_quantizer(name).build((shape[0], size))
        for function in self.nonlinearities():
            function.build()
        if self.output_quantizer is not None:
            self.output_quantizer.build(self._output_shape(shape))
        self.built = True

    def _output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        batch, steps, _ = input_shape
        return (batch, steps, self.units) if self.return_sequences else (batch, self.units)

    def compute_output_shape(self, sequences_shape: Shape, initial_state_shape: Any = None) -> Any:
        """Return the shape of the outputs, and of the states where they are given too."""
        shape = self._output_shape(sequences_shape)
        return (shape, *[(shape[0], self.units)] * self.state_count) if self.return_state else shape

    def raw(self) -> dict[str, Tensor]:
        """Return kernels and bias by slot; of a frozen layer, quantized already."""
        if self.frozen:
            return {name: value for name, value in self.constants().items() if name in WEIGHTS}
        weights = {"kernel": self.kernel, "recurrent_kernel": self.recurrent_kernel, "bias": self.bias}
        return {name: value for name, value in weights.items() if value is not None}

    def folded(self) -> dict[str, Tensor]:
        """Return kernels, bias and the entries of the tables."""
        return {**self.raw(), **super().folded()}

    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> Any:
        """Return the mask of the sequences for the outputs of all steps, and none for one output or for states."""
        output = keras.tree.flatten(previous_mask)[0] if self.return_sequences else None
        return [output, *[None] * self.state_count] if self.return_state else output

    def call(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor | None = None, training: bool | None = None
    ) -> Any:
        """Run the steps."""
        sequences, recurrent = self._with_dropout(sequences, bool(training))
        arithmetic = (ScannedTensors if self.scans() else Tensors)(bool(training), recurrent)
        raw = self.raw()
        weights = (
            raw
            if self.frozen
            else {name: arithmetic.quantize(self.slot_quantizer(name), value) for name, value in raw.items()}
        )
        if mask is not None:  # no quantizer observes what is masked
            sequences = keras.ops.where(arithmetic.condition(mask), sequences, 0.0)
        return self._run(arithmetic, sequences, self._states(initial_state), mask, weights)

    def _with_dropout(self, sequences: Tensor, training: bool) -> tuple[Tensor, Tensor | None]:
        """Return the sequences with dropout, and the factors of the states; one draw for all steps, as in Keras."""

        def factors(size: int, rate: float) -> Tensor:
            ones = keras.ops.ones((keras.ops.shape(sequences)[0], size), dtype=sequences.dtype)
            return keras.random.dropout(ones, rate, seed=self.seed_generator)

        if training and not self.frozen and self.dropout:
            sequences = sequences * keras.ops.expand_dims(factors(sequences.shape[-1], self.dropout), 1)
        drops = training and not self.frozen and self.recurrent_dropout
        return sequences, factors(self.units, self.recurrent_dropout) if drops else None

    def exact(  # type: ignore[override]
        self, arrays: Arrays[A], sequences: A, *states: A, initial_state: Any = None, mask: A | None = None
    ) -> Any:
        """Run the steps in integers; initial states come by position or by keyword."""
        weights = {name: self.constant(arrays, name) for name in self.raw()}
        return self._run(Exact(arrays), sequences, [*states, *self._states(initial_state)], mask, weights)

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
    ) -> Any:
        condition = None if mask is None else arithmetic.condition(mask)
        x = arithmetic.product(arithmetic.quantize(self.input_quantizer, sequences), weights["kernel"])
        if "bias" in weights:
            x = arithmetic.add(x, self.input_bias(arithmetic, weights["bias"]))
        quantized = zip(self.state_quantizers(), states, strict=False)
        start = [arithmetic.quantize(quantizer, state) for quantizer, state in quantized]
        start = start or [arithmetic.zeros(x, self.units)] * self.state_count
        if condition is None:
            result, states = arithmetic.steps(
                lambda parts, before: self.step(arithmetic, parts[0], before, weights),
                [x],
                start,
                self.go_backwards,
                self.return_sequences,
            )
        else:
            nothing = arithmetic.zeros(x, self.units)
            result, (_, *states) = arithmetic.steps(
                lambda parts, before: self._masked_step(arithmetic, parts[0], parts[1], before, weights),
                [x, condition],
                [nothing, *start],
                self.go_backwards,
                self.return_sequences,
            )
        if self.output_quantizer is not None:
            result = arithmetic.quantize(self.output_quantizer, result)
        return (result, *states) if self.return_state else result

    def _masked_step(
        self, arithmetic: Arithmetic[A], x: A, condition: A, before: Sequence[A], weights: Mapping[str, A]
    ) -> Sequence[A]:
        """Return the output and the states after a step, which a false condition keeps."""
        output, *states = before
        after = self.step(arithmetic, x, states, weights)
        if self.zero_output_for_mask:
            output = arithmetic.zero(output)
        return [arithmetic.select(condition, *pair) for pair in zip((after[0], *after), (output, *states), strict=True)]

    def ebops(self) -> Tensor:
        """Return the products, the biases and the tables of the steps that run in parallel."""
        raw = self.raw()
        bits = {name: self.slot_quantizer(name).bits(value) for name, value in raw.items()}
        parallel = float(self.parallelization_factor or self._steps)
        # Each step of the sequence may have input bits of its own: those of the steps in parallel are their mean.
        features = total(self.input_quantizer.bits(), 0)
        products = total(features * total(bits["kernel"], -1)) / float(self._steps)
        step = self.step_ebops(bits["recurrent_kernel"], self.state_quantizer.bits())
        if "bias" in bits:
            step = step + total(bits["bias"])
        return parallel * (products + step + sum(function.ebops() for function in self.nonlinearities()))


def step_quantizer(quantizer: Any) -> Any:
    """Return what a slot inside a step takes: where nothing is said, the default of activations, saturating."""
    return adapted("activation", lambda config: config.saturating()) if quantizer is None else quantizer
