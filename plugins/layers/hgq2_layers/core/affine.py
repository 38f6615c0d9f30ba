"""What every layer with kernels and a bias shares: its arguments, slots, constants and activation."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact import Intervals
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ConstraintArg, InitializerArg, QuantizerArg, RegularizerArg
from hgq2_core.ops import Tensor, sparing, total
from hgq2_core.quantizers.call import running
from hgq2_core.quantizers.results import Span
from hgq2_layers.activations.rectify import rectify
from hgq2_layers.core.accumulator import AccumulatorBits, Bias, bounded
from hgq2_layers.core.multiplexing import MultiplexedLayer

A = TypeVar("A")


class BiasedLayer(MultiplexedLayer, kw_only=True):
    """y = oq(act(products(iq(x)) + bq(b))); a subclass has the kernels and says which products.

    A subclass has the argument `activation` too, where Keras takes it.

    Args:
        bias_quantizer: a config, a kind, a mapping, or None for the default of biases.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next layer
            to quantize.
        bias_initializer: Keras initializer of b.
        bias_regularizer: Keras regularizer of b, or None.
        bias_constraint: Keras constraint of b, or None.
        **kwargs: `parallelization_factor` and `ebops_factor`, as in `MultiplexedLayer`.
    """

    bias_quantizer: QuantizerArg = None
    input_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None
    bias_initializer: InitializerArg = "zeros"
    bias_regularizer: RegularizerArg = None
    bias_constraint: ConstraintArg = None

    @override
    def setup(self) -> None:
        """Make the quantizers of inputs, kernels, bias and outputs, in this order."""
        super().setup()
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input", self.channel_axes())
        self.add_kernel_quantizers()
        self.bias_quantizer = self.add_quantizer(self.bias_quantizer, "bias", "bias") if self.has_bias() else None
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(
                self.output_quantizer, "activation", "output", self.channel_axes()
            )

    @abstractmethod
    def add_kernel_quantizers(self) -> None:
        """Make the quantizers of the kernels."""

    @abstractmethod
    def has_bias(self) -> bool:
        """Return True if there is a bias."""

    def channel_axes(self) -> tuple[int, ...]:
        """The axes of inputs and outputs that `granularity="channel"` gives bits of their own."""
        return (-1,)

    @abstractmethod
    def products(self, x: Tensor, constants: Mapping[str, Tensor], training: bool) -> Tensor:
        """Multiply quantized inputs and quantized kernels."""

    @abstractmethod
    def exact_products(self, arrays: Arrays[A], x: A) -> A:
        """Multiply quantized inputs and quantized kernels, exactly."""

    def biased_products(self, x: Tensor, constants: Mapping[str, Tensor], training: bool) -> Tensor:
        """Multiply quantized inputs and quantized kernels, and add the quantized bias."""
        outputs = self.products(x, constants, training)
        return self.plus_bias(outputs, constants["bias"]) if "bias" in constants else outputs

    def plus_bias(self, outputs: Tensor, bias: Tensor) -> Tensor:
        """Add the bias to the products."""
        return outputs + bias

    def exact_plus_bias(self, arrays: Arrays[A], outputs: A, bias: A) -> A:
        """Add the bias to the products, exactly."""
        return arrays.add(outputs, bias)

    def build_around(self, input_shape: Sequence[int | None], bias_shape: Sequence[int] | None) -> None:
        """Build all but the kernels; a subclass's `build` ends with it.

        Args:
            input_shape: batch axis included.
            bias_shape: of b; None without a bias.
        """
        static = {axis: size for axis, size in enumerate(input_shape) if axis and size is not None}
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes=static)
        self.input_quantizer.build(tuple(input_shape))
        self.bias = None
        if bias_shape is not None:
            self.add_bias(tuple(bias_shape))
            self.bias_quantizer.build(tuple(bias_shape))
        self.built_output_shape = tuple(self.compute_output_shape(tuple(input_shape)))
        if self.output_quantizer is not None:
            self.output_quantizer.build(self.built_output_shape)
        self.require_positions()
        self.built = True

    @override
    def position_sizes(self) -> Sequence[int | None]:
        """Return the sizes of the output's axes between the batch and the last."""
        return self.built_output_shape[1:-1]

    def add_bias(self, shape: tuple[int, ...]) -> None:
        """Add the variables that the bias is made of.

        Args:
            shape: of the bias.
        """
        self.bias = self.add_weight(
            name="bias",
            shape=shape,
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    @abstractmethod
    def kernels(self) -> dict[str, Tensor]:
        """Return the kernels by slot name."""

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return the kernels and the bias."""
        return {**self.kernels(), **({} if self.bias is None else {"bias": self.bias})}

    def within_accumulator(self, folded: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what the weight quantizers see; here no sum is bounded."""
        return folded

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        training = bool(training)
        constants = self.constants(training)
        with sparing(constants.values()):
            return self.respond(self.input_quantizer.quantize(inputs, training), constants, training)

    def respond(self, x: Tensor, constants: Mapping[str, Tensor], training: bool) -> Tensor:
        """Compute the outputs from what is quantized already.

        Args:
            x: quantized inputs.
            constants: quantized kernels and bias, by slot name.
            training: whether the layer is in training.
        """
        outputs = self.biased_products(x, constants, training)
        if self.activation is not keras.activations.linear:
            outputs = self.activation(outputs)
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    def bias_ebops(self, bias_bits: Tensor) -> Tensor:
        """Return the sum of the bias bits over the outputs of one sample; an axis without static size counts once."""
        outputs = math.prod(size or 1 for size in self.built_output_shape[1:])
        positions = outputs // math.prod(bias_bits.shape)
        return total(bias_bits) if positions == 1 else total(bias_bits) * float(positions)

    @abstractmethod
    def products_ebops(self, input_bits: Tensor, bits: Mapping[str, Tensor]) -> Tensor:
        """Return the sum over the products of one sample of the bits of one factor times those of the other.

        Args:
            input_bits: one for each input of a sample.
            bits: of the weights, by slot name.
        """

    @override
    def ebops(self) -> Tensor:
        """Return the products' bits and the biases', for the part of the positions that is computed at once."""
        bits = self.weight_bits()
        cost = self.products_ebops(self.input_quantizer.bits(), bits)
        return self.multiplexed(cost + self.bias_ebops(bits["bias"]) if "bias" in bits else cost)

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        (x,) = inputs
        outputs = self.exact_products(arrays, self.input_quantizer.exact(arrays, x))
        if self.has_bias():
            outputs = self.exact_plus_bias(arrays, outputs, self.constant(arrays, "bias"))
        if self.activation is keras.activations.relu:
            outputs = rectify(arrays, outputs)
        result: A = outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)
        return result


class AffineLayer(BiasedLayer, kw_only=True):
    """y = oq(act(product(iq(x), kq(K)) + bq(b))); a subclass says which product.

    Args:
        kernel_initializer: Keras initializer of K.
        kernel_regularizer: Keras regularizer of K, or None.
        kernel_constraint: Keras constraint of K, or None.
        kernel_quantizer: a config, a kind, a mapping, or None for the default of weights.
        accumulator_bits: of the accumulator, the sign included, that no sum of an output may overflow, in any order and
            for any input: the weights of outputs that might are shrunk before they are quantized, by a kernel quantizer
            that rounds towards 0 and saturates (TRN_ZERO, SAT_SYM). None leaves them.
        **kwargs: of the bias, the quantizers of bias, inputs and outputs, and the cost, as in `BiasedLayer`.
    """

    kernel_initializer: InitializerArg = "glorot_uniform"
    kernel_regularizer: RegularizerArg = None
    kernel_constraint: ConstraintArg = None
    kernel_quantizer: QuantizerArg = None
    accumulator_bits: AccumulatorBits | None = None

    @override
    def add_kernel_quantizers(self) -> None:
        """Make the quantizer of the kernel."""
        self.kernel_quantizer = self.add_quantizer(
            self.kernel_quantizer, "weight", "kernel", self.kernel_channel_axes()
        )
        if self.accumulator_bits is not None and not self.kernel_quantizer.shrinks:
            raise ConfigError(
                f"{self.name}: accumulator_bits needs a kernel_quantizer that enlarges no weight: fixed point with "
                'round_mode="TRN_ZERO" and overflow_mode="SAT_SYM". '
                f"Received: a {type(self.kernel_quantizer.config).__name__} that may."
            )

    def kernel_channel_axes(self) -> tuple[int, ...]:
        """The kernel's axes that `granularity="channel"` gives bits of their own."""
        return (-1,)

    @abstractmethod
    def product(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Multiply inputs and kernel."""

    @abstractmethod
    def exact_product(self, arrays: Arrays[A], x: A, kernel: A) -> A:
        """Multiply inputs and kernel, exactly."""

    @abstractmethod
    def product_ebops(self, input_bits: Tensor, kernel_bits: Tensor) -> Tensor:
        """Return the sum over the products of one sample of input bits times kernel bits."""

    def build_parts(
        self, input_shape: Sequence[int | None], kernel_shape: Sequence[int], bias_shape: Sequence[int] | None
    ) -> None:
        """Add kernel and bias, and build the quantizers; a subclass's `build` ends with it.

        Args:
            input_shape: batch axis included.
            kernel_shape: of K.
            bias_shape: of b, as it is added to the output; None without a bias.
        """
        self.kernel = self.add_weight(
            name="kernel",
            shape=tuple(kernel_shape),
            initializer=self.initializer_of_kernel(),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.kernel_quantizer.build(tuple(kernel_shape))
        self.build_around(input_shape, bias_shape)
        for slot in ("input", "bias"):
            quantizer = getattr(self, f"{slot}_quantizer")
            if self.accumulator_bits is not None and quantizer is not None and not quantizer.has_span:
                raise ConfigError(
                    f"{self.name}: accumulator_bits needs an {slot}_quantizer whose values lie on a fixed grid within "
                    f"bounds, such as fixed point. Received: {type(quantizer.config).__name__}."
                )

    def initializer_of_kernel(self) -> Callable[..., Tensor]:
        """Return what gives the kernel its first values."""
        return self.kernel_initializer  # type: ignore[no-any-return]

    @override
    def kernels(self) -> dict[str, Tensor]:
        return {"kernel": self.kernel}

    @property
    @override
    def sum_bits(self) -> int | None:
        """The bits of the accumulator."""
        return self.accumulator_bits

    @abstractmethod
    def summed_kernel_axes(self) -> tuple[int, ...]:
        """Return the kernel's axes over which an output sums."""

    @abstractmethod
    def inputs_on_kernel(self, x: Tensor, combine: Callable[..., Tensor]) -> Tensor:
        """Bring something about each input of a sample onto the axes of the kernel, the largest of all positions.

        Args:
            x: of the shape of a sample.
            combine: what becomes of the inputs whose products with one weight an output sums, `(x, axes)`.
        """

    @abstractmethod
    def bias_on_kernel(self, bias: Tensor) -> Tensor:
        """Bring something about the bias onto the axes of the kernel, the largest of all positions."""

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return the kernel, within what the accumulator holds, and the bias."""
        return self.within_accumulator(super().folded())

    @override
    def within_accumulator(self, folded: dict[str, Tensor]) -> dict[str, Tensor]:
        """Shrink the weights of outputs whose sums might overflow the accumulator.

        Args:
            folded: what the weight quantizers would see.
        """
        if self.accumulator_bits is None:
            return folded
        reach = self.input_quantizer.span()
        inputs = Span(
            self.inputs_on_kernel(reach.largest, keras.ops.sum), -self.inputs_on_kernel(-reach.step, keras.ops.max)
        )
        kernel, bias = folded["kernel"], None
        if self.has_bias():
            with running(None):  # these bits are counted where the bias itself is quantized
                values = keras.ops.stop_gradient(self.bias_quantizer.quantize(folded["bias"]))
            step = self.bias_quantizer.span(folded["bias"]).step
            bias = Bias(self.bias_on_kernel(keras.ops.abs(values)), -self.bias_on_kernel(-step))
        weights = self.kernel_quantizer.span(kernel)
        axes = self.summed_kernel_axes()
        return {**folded, "kernel": bounded(kernel, axes, inputs, weights, bias, self.accumulator_bits)}

    @override
    def constant(self, arrays: Arrays[A], name: str) -> A:
        """Return a quantized weight; an accumulator has the steps of the bias' format, also those that values skip."""
        operand: Any = super().constant(arrays, name)
        if name == "bias" and self.accumulator_bits is not None and isinstance(arrays, Intervals):
            step = keras.ops.convert_to_numpy(self.bias_quantizer.span(self.inputs_of_quantizers()["bias"]).step)
            counts = np.isfinite(step) & (operand.hi.data != 0)
            operand = arrays.on_grid(operand, np.where(counts, -np.log2(np.where(counts, step, 1.0)), operand.step))
        return operand  # type: ignore[no-any-return]

    @override
    def products(self, x: Tensor, constants: Mapping[str, Tensor], training: bool) -> Tensor:
        return self.product(x, constants["kernel"])

    @override
    def exact_products(self, arrays: Arrays[A], x: A) -> A:
        return self.exact_product(arrays, x, self.constant(arrays, "kernel"))

    @override
    def products_ebops(self, input_bits: Tensor, bits: Mapping[str, Tensor]) -> Tensor:
        """Return the sum over the products of one sample of input bits times kernel bits."""
        return self.product_ebops(input_bits, bits["kernel"])
