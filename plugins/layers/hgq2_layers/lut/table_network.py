"""What every lookup-table network shares: a table for each pair of an input and an output, and sums."""

from __future__ import annotations

import functools
import itertools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import keras
from pydantic import Field
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import (
    ConstraintArg,
    InitializerArg,
    PositiveInt,
    QuantizerArg,
    RegularizerArg,
    default,
)
from hgq2_core.layers.masks import refused_mask
from hgq2_core.ops import Tensor, total
from hgq2_core.schema.base import FromList
from hgq2_layers.activations.elementwise import ElementwiseArg
from hgq2_layers.activations.lookup_table import TableLayer
from hgq2_layers.activations.rectify import rectify
from hgq2_layers.core.multiplexing import MultiplexedLayer
from hgq2_layers.normalization.batch_statistics import BatchStatistics

if TYPE_CHECKING:
    from hgq2_core.layers.arguments import Arg

A = TypeVar("A")
Count = Annotated[int, Field(ge=0, le=16)]

Inputs = Annotated[int, Field(ge=1, le=16)]

NORMAL = {"kind": "random_normal", "stddev": 1.0}

if TYPE_CHECKING:  # a number is passed too, which `setup` resolves
    TableInputs = Arg[int | Sequence[int], tuple[int, int]]
else:
    TableInputs = Inputs | Annotated[tuple[Inputs, Inputs], FromList]


class LUTLayer(MultiplexedLayer, BatchStatistics, TableLayer, kw_only=True):
    """y_o = oq(act(sum over i of tq(f_io(iq(x_i))))); a subclass says which inputs x an output has, and which it sums.

    Each f_io is a small network of its own, trained, and deployed as a table. Its weights are of the size of 1: each
    sum of n products is divided by the square root of n. A bias is in the tables, and so is a batch normalization. A
    subclass has the argument `activation` too, where Keras takes it.

    Args:
        hidden_layers: of each f_io; 0 makes it a straight line.
        hidden_units: in each hidden layer.
        hidden_activation: of the hidden units, one of Keras' activations by name, or a function of one number that is
            registered with Keras.
        use_bias: whether the networks have biases.
        batch_norm: whether the networks end with a batch normalization, whose statistics are those of the batch, of all
            positions, and of the inputs that an output sums. Frozen, it is part of the tables.
        table_inputs: of a device's table, and of each of the two tables that it can be split into, for the cost; one
            number where it cannot be split.
        kernel_initializer: Keras initializer of the products' factors.
        bias_initializer: Keras initializer of the biases.
        kernel_regularizer: Keras regularizer of the factors, or None.
        bias_regularizer: Keras regularizer of the biases, or None.
        kernel_constraint: Keras constraint of the factors, or None.
        bias_constraint: Keras constraint of the biases, or None.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations. It sees the inputs once
            for each output, (..., inputs, outputs): every pair may have its own bits, `channel` gives them per input.
        table_quantizer: of the tables' entries: a config, a kind, a mapping, or None for the default of tables.
            `element` gives every pair its own bits, `channel` each output.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.
        **kwargs: of the normalization, as in `BatchStatistics`; `parallelization_factor` and `ebops_factor`, as in
            `MultiplexedLayer`.

    Cost (docs/numerics.md#7): over all pairs, the sum of s Bt 2^(b - a) + Bt, with s = 2^(Bx - b) from Bx = b on, and
    Bx / b below, `table_inputs` being (a, b); times the part that is computed at once.
    """

    hidden_layers: Count = 1
    hidden_units: PositiveInt = 8
    hidden_activation: ElementwiseArg = "tanh"
    use_bias: bool = True
    batch_norm: bool = False
    table_inputs: TableInputs = default((6, 5))
    kernel_initializer: InitializerArg = NORMAL
    bias_initializer: InitializerArg = NORMAL
    kernel_regularizer: RegularizerArg = None
    bias_regularizer: RegularizerArg = None
    kernel_constraint: ConstraintArg = None
    bias_constraint: ConstraintArg = None
    input_quantizer: QuantizerArg = None
    table_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        """Make the quantizers and the tables.

        Raises:
            ConfigError: the half of a table with more inputs than the whole.
        """
        super().setup()
        if isinstance(self.table_inputs, int):
            self.table_inputs = (self.table_inputs, self.table_inputs)
        if self.table_inputs[1] > self.table_inputs[0]:
            raise ConfigError(
                f"{self.name}: table_inputs are those of a whole table, and fewer or as many of each half. "
                f"Received: {list(self.table_inputs)}."
            )
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input", (-2,))
        self.table = self.add_table(self.table_quantizer, "table", self.input_quantizer, self.networks)
        self.table_quantizer = self.table.quantizer
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(
                self.output_quantizer, "activation", "output", self.output_channel_axes()
            )

    def output_channel_axes(self) -> tuple[int, ...]:
        """The axes of the outputs that `granularity="channel"` gives bits of their own."""
        return (-1,)

    @abstractmethod
    def windows(self, x: Tensor) -> Tensor:
        """Return the inputs of each output: (..., inputs)."""

    @abstractmethod
    def exact_windows(self, arrays: Arrays[A], x: A) -> A:
        """Return the inputs of each output, exactly."""

    def sums(self, y: Tensor) -> Tensor:
        """Sum the entries, (..., inputs, outputs), over the inputs of each output."""
        return keras.ops.sum(y, axis=-2)

    def exact_sums(self, arrays: Arrays[A], y: A) -> A:
        """Sum, exactly."""
        return arrays.sum(y, len(arrays.shape(y)) - 2)

    def build_parts(
        self,
        input_shape: tuple[int | None, ...],
        windows: tuple[int | None, ...],
        outputs: int,
        terms: int | None = None,
    ) -> None:
        """Add the networks, and build the quantizers; a subclass's `build` ends with it.

        Args:
            input_shape: batch axis included.
            windows: of `windows(x)`; the last axis has a static size.
            outputs: of each window.
            terms: how many tables an output sums; None for one of each input of a window.
        """
        static = {axis: size for axis, size in enumerate(input_shape) if axis and size is not None}
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes=static)
        self.outputs = outputs
        self.input_quantizer.build((*windows, outputs))
        pairs = (int(windows[-1] or 0), outputs)
        self.terms = terms or pairs[0]
        self.table.build(pairs)
        sizes = [1, *[self.hidden_units] * self.hidden_layers, 1]
        self.stages = [
            (
                self._add("kernel", n, (*pairs, before, after)),
                self._add("bias", n, (*pairs, after)) if self.use_bias else None,
            )
            for n, (before, after) in enumerate(itertools.pairwise(sizes))
        ]
        if self.batch_norm:
            self.add_normalization((self.normalized_size(),), (0,))
        self.built_output_shape = tuple(self.compute_output_shape(input_shape))
        if self.output_quantizer is not None:
            self.output_quantizer.build(self.built_output_shape)
        self.require_positions()
        self.built = True

    @override
    def position_sizes(self) -> Sequence[int | None]:
        """Return the sizes of the output's axes between the batch and the last."""
        return self.built_output_shape[1:-1]

    def _add(self, sort: str, number: int, shape: tuple[int, ...]) -> Any:
        return self.add_weight(
            name=f"{sort}_{number}",
            shape=shape,
            initializer=getattr(self, f"{sort}_initializer"),
            regularizer=getattr(self, f"{sort}_regularizer"),
            constraint=getattr(self, f"{sort}_constraint"),
        )

    def normalized_size(self) -> int:
        """Return how many statistics the normalization has: one for each output."""
        return self.outputs

    def networks(self, q: Tensor, training: bool = False) -> Tensor:
        """Compute every f_io, (..., inputs, outputs).

        Args:
            q: inputs, once for each output.
            training: whether a normalization uses, and follows, the statistics of these.
        """
        hidden = keras.ops.expand_dims(q, -1)
        for kernel, bias in self.stages[:-1]:
            sums = keras.ops.einsum("...iod,iode->...ioe", hidden, kernel) / math.sqrt(kernel.shape[-2])
            hidden = self.hidden_activation(sums if bias is None else sums + bias)
        kernel, bias = self.stages[-1]
        sums = keras.ops.einsum("...iod,iode->...ioe", hidden, kernel)
        values = keras.ops.squeeze(sums if bias is None else sums + bias, -1)
        if not self.batch_norm:
            return values / math.sqrt(kernel.shape[-2] * self.terms)
        values = self.normalized(values / math.sqrt(kernel.shape[-2]), training)
        return values / math.sqrt(self.terms)

    def normalized(self, values: Tensor, training: bool) -> Tensor:
        """Normalize what the networks give, (..., inputs, outputs)."""
        flat = keras.ops.reshape(values, (-1, self.normalized_size()))
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            mean, variance = keras.ops.moments(flat, self.reduced, synchronized=self.synchronized)
            self.follow(mean, variance)
        normal = (flat - mean) * self.factors(variance)
        return keras.ops.reshape(normal if self.beta is None else normal + self.beta, keras.ops.shape(values))

    @override
    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the outputs.

        Raises:
            ConfigError: a mask, and batch statistics.
        """
        if self.batch_norm and previous_mask is not None:
            raise refused_mask(self.name, "the statistics inside its tables are those of all positions")
        return super().compute_mask(inputs, previous_mask)

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Compute the equation above, or look up and sum."""
        training = bool(training)
        pairs = keras.ops.repeat(keras.ops.expand_dims(self.windows(inputs), -1), self.outputs, axis=-1)
        q = self.input_quantizer.quantize(pairs, training)
        follows = self.batch_norm and self.follows(training)
        function = functools.partial(self.networks, training=True) if follows else None
        outputs = self.sums(self.table(q, training, function))
        outputs = self.activation(outputs)
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    @override
    def ebops(self) -> Tensor:
        """Return the tables, in the halves that a device's can be split into, and the sums of their outputs."""
        entered, given = self.input_quantizer.bits(), self.table.bits()
        whole, half = self.table_inputs
        wide = keras.ops.exp(math.log(2.0) * (entered - float(half)))
        split = keras.ops.where(entered >= half, wide, entered / half)
        return self.multiplexed(total((split * 2.0 ** (half - whole) + 1.0) * given))

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        """Look up and sum."""
        (x,) = inputs
        windows = self.exact_windows(arrays, x)
        shape = arrays.shape(windows)
        pairs = arrays.broadcast(arrays.reshape(windows, (*shape, 1)), (*shape, self.outputs))
        looked_up = self.table.exact(arrays, self.input_quantizer.exact(arrays, pairs))
        outputs = self.exact_sums(arrays, looked_up)
        if self.activation is keras.activations.relu:
            outputs = rectify(arrays, outputs)
        result: A = outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)
        return result
