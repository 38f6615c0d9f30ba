"""What recurrent layers and cells share: their weights and slots, and one step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import keras
from pydantic import Field
from typing_extensions import override

from hgq2_core import Quantizer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ConstraintArg, InitializerArg, QuantizerArg, RegularizerArg
from hgq2_core.ops import Tensor, dot, total
from hgq2_core.quantizers.defaults import adapted
from hgq2_core.quantizers.ranges import ObservedRange
from hgq2_layers.activations.lookup_table import TableLayer
from hgq2_layers.activations.nonlinearity import Nonlinearity
from hgq2_layers.rnn.arithmetic import Arithmetic

A = TypeVar("A")

Shape = tuple[int | None, ...]

Rate = Annotated[float, Field(ge=0, lt=1)]

WEIGHTS = ("kernel", "recurrent_kernel", "bias")
"""The slots whose constants are no tables."""


class RecurrentStep(TableLayer, kw_only=True):
    """One step of a sequence; a subclass says what it does to the states.

    The quantizers inside a step (of states and activations) are the same in all steps. They saturate by default: a
    range that follows the values would be a state that every step changes.

    A subclass has the arguments `units`, `activation` and `use_bias` too, where Keras takes them.

    Args:
        dropout: share of the features that is dropped in training, the same in all steps of a sequence, in front of the
            input quantizer.
        recurrent_dropout: share of the state that is dropped in training, the same in all steps of a sequence, for the
            products with the recurrent kernel; what is left is quantized again.
        seed: of both; None for Keras' own.
        kernel_initializer: Keras initializer of K.
        recurrent_initializer: Keras initializer of R.
        bias_initializer: Keras initializer of b.
        kernel_regularizer: Keras regularizer of K, or None.
        recurrent_regularizer: Keras regularizer of R, or None.
        bias_regularizer: Keras regularizer of b, or None.
        kernel_constraint: Keras constraint of K, or None.
        recurrent_constraint: Keras constraint of R, or None.
        bias_constraint: Keras constraint of b, or None.
        kernel_quantizer: a config, a kind, a mapping, or None for the default of weights.
        recurrent_quantizer: of the recurrent kernel: a config, a kind, a mapping, or None for the default of weights.
        bias_quantizer: a config, a kind, a mapping, or None for the default of biases.
        state_quantizer: of the state, which is the output of a step too: a config, a kind, a mapping, or None for the
            default of activations, saturating.
        activation_quantizer: of what goes into the activation: a config, a kind, a mapping, or None for the default of
            activations, saturating.
        activation_table_quantizer: of the entries of the activation's table: a config, a kind, a mapping, or None for
            the default of tables.
    """

    gates = 1
    """How many times `units` the kernels are wide."""

    state_count = 1
    """How many states there are; the first is the output."""

    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    seed: int | None = None
    kernel_initializer: InitializerArg = "glorot_uniform"
    recurrent_initializer: InitializerArg = "orthogonal"
    bias_initializer: InitializerArg = "zeros"
    kernel_regularizer: RegularizerArg = None
    recurrent_regularizer: RegularizerArg = None
    bias_regularizer: RegularizerArg = None
    kernel_constraint: ConstraintArg = None
    recurrent_constraint: ConstraintArg = None
    bias_constraint: ConstraintArg = None
    kernel_quantizer: QuantizerArg = None
    recurrent_quantizer: QuantizerArg = None
    bias_quantizer: QuantizerArg = None
    state_quantizer: QuantizerArg = None
    activation_quantizer: QuantizerArg = None
    activation_table_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        # Without dropout there is no state of a generator to save.
        self.seed_generator = keras.random.SeedGenerator(self.seed) if self.dropout or self.recurrent_dropout else None
        self.kernel_quantizer = self.add_quantizer(self.kernel_quantizer, "weight", "kernel")
        self.recurrent_quantizer = self.add_quantizer(self.recurrent_quantizer, "weight", "recurrent_kernel")
        self.bias_quantizer = self.add_quantizer(self.bias_quantizer, "bias", "bias") if self.use_bias else None
        self.state_quantizer = self.add_step_quantizer(self.state_quantizer, "state")
        self.activation_quantizer = self.add_step_quantizer(self.activation_quantizer, "activation")
        self.candidate = Nonlinearity(
            self, self.activation, "activation_table", self.activation_quantizer, self.activation_table_quantizer
        )
        self.activation_table_quantizer = self.candidate.table_quantizer

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

    def quantizers_inside(self) -> list[Quantizer[Any]]:
        """Return the quantizers inside a step, also of tables."""
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

    def build_step(self, batch: int | None, features: int) -> None:
        """Add the kernels and the bias, and build the quantizers, but those of inputs and outputs.

        Args:
            batch: its size.
            features: of an input.
        """
        width = self.gates * self.units
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
            self.slot_quantizer(name).build((batch, size))
        for function in self.nonlinearities():
            function.build()

    def raw(self) -> dict[str, Tensor]:
        """Return kernels and bias by slot; of a frozen layer, quantized already."""
        if self.frozen:
            return {name: value for name, value in self.constants().items() if name in WEIGHTS}
        weights = {"kernel": self.kernel, "recurrent_kernel": self.recurrent_kernel, "bias": self.bias}
        return {name: value for name, value in weights.items() if value is not None}

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return kernels, bias and the entries of the tables."""
        return {**self.raw(), **super().folded()}

    def weights_of(self, arithmetic: Arithmetic[Tensor]) -> dict[str, Tensor]:
        """Return the quantized kernels and bias by slot, as tensors."""
        raw = self.raw()
        if self.frozen:
            return raw
        return {name: arithmetic.quantize(self.slot_quantizer(name), value) for name, value in raw.items()}

    def constants_of(self, arrays: Arrays[A]) -> dict[str, A]:
        """Return the quantized kernels and bias by slot, as operands."""
        return {name: self.constant(arrays, name) for name in self.raw()}

    def entered(self, arithmetic: Arithmetic[A], inputs: A, weights: Mapping[str, A]) -> A:
        """Return quantized inputs times the kernel, with the bias."""
        x = arithmetic.product(inputs, weights["kernel"])
        return arithmetic.add(x, self.input_bias(arithmetic, weights["bias"])) if "bias" in weights else x

    def started(self, arithmetic: Arithmetic[A], states: Sequence[A], x: A) -> list[A]:
        """Return the states to begin with: those given, quantized, or else 0.

        Args:
            arithmetic: tensors, or exact arrays.
            states: as many as there are, or none.
            x: inputs, samples first.
        """
        if not states:
            return [arithmetic.zeros(x, self.units)] * self.state_count
        quantized = zip(self.state_quantizers(), states, strict=True)
        return [arithmetic.quantize(quantizer, state) for quantizer, state in quantized]

    def ebops_of_a_step(self, features: Tensor) -> Tensor:
        """Return the products, the biases and the tables of one step.

        Args:
            features: bits of its input.
        """
        bits = {name: self.slot_quantizer(name).bits(value) for name, value in self.raw().items()}
        step = dot(features, total(bits["kernel"], -1))
        step = step + self.step_ebops(bits["recurrent_kernel"], self.state_quantizer.bits())
        if "bias" in bits:
            step = step + total(bits["bias"])
        return step + sum(function.ebops() for function in self.nonlinearities())


def step_quantizer(quantizer: Any) -> Any:
    """Return what a slot inside a step takes: where nothing is said, the default of activations, saturating."""
    return adapted("activation", lambda config: config.saturating()) if quantizer is None else quantizer


def changes(quantizer: Quantizer[Any]) -> bool:
    """Return True if a quantizer has a state that every step changes: a range that follows the values, or a seed."""
    return isinstance(quantizer.range, ObservedRange) or len(quantizer.variables) > len(quantizer.weights)
