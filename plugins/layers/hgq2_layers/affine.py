"""What every layer with a kernel and a bias shares: its arguments, slots, constants and activation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Unpack

import keras

from hgq2_core import QLayer
from hgq2_core.arguments import (
    ACTIVATIONS,
    CONSTRAINTS,
    INITIALIZERS,
    REGULARIZERS,
    ActivationArg,
    BetaArg,
    ConstraintArg,
    InitializerArg,
    LayerKwargs,
    QuantizerArg,
    RegularizerArg,
)
from hgq2_core.exact.arrays import Arrays
from hgq2_core.tensors import total
from hgq2_layers.adapters import rectify

A = TypeVar("A")
Tensor = Any


class AffineKwargs(LayerKwargs, total=False):
    """The arguments of `AffineLayer`, for the signatures of its subclasses."""

    activation: ActivationArg
    kernel_initializer: InitializerArg
    bias_initializer: InitializerArg
    kernel_regularizer: RegularizerArg
    bias_regularizer: RegularizerArg
    kernel_constraint: ConstraintArg
    bias_constraint: ConstraintArg
    kernel_quantizer: QuantizerArg
    bias_quantizer: QuantizerArg
    input_quantizer: QuantizerArg
    output_quantizer: QuantizerArg
    ebops_beta: BetaArg
    enable_ebops: bool | None


class AffineLayer(QLayer):
    """y = oq(act(product(iq(x), kq(K)) + bq(b))); a subclass says which product.

    Args:
        activation: `linear` (None) or `relu`.
        kernel_initializer: Keras initializer of K.
        bias_initializer: Keras initializer of b.
        kernel_regularizer: Keras regularizer of K, or None.
        bias_regularizer: Keras regularizer of b, or None.
        kernel_constraint: Keras constraint of K, or None.
        bias_constraint: Keras constraint of b, or None.
        kernel_quantizer: a config, a kind, a mapping, or None for the default of weights.
        bias_quantizer: likewise, of biases.
        input_quantizer: likewise, of activations.
        output_quantizer: likewise; None leaves the outputs as they are, for the next layer to quantize.
    """

    def __init__(
        self,
        *,
        activation: ActivationArg = None,
        kernel_initializer: InitializerArg = "glorot_uniform",
        bias_initializer: InitializerArg = "zeros",
        kernel_regularizer: RegularizerArg = None,
        bias_regularizer: RegularizerArg = None,
        kernel_constraint: ConstraintArg = None,
        bias_constraint: ConstraintArg = None,
        kernel_quantizer: QuantizerArg = None,
        bias_quantizer: QuantizerArg = None,
        input_quantizer: QuantizerArg = None,
        output_quantizer: QuantizerArg = None,
        **kwargs: Unpack[LayerKwargs],
    ) -> None:
        super().__init__(**kwargs)
        self.activation = ACTIVATIONS.resolve(activation)
        self.kernel_initializer = INITIALIZERS.resolve(kernel_initializer)
        self.bias_initializer = INITIALIZERS.resolve(bias_initializer)
        self.kernel_regularizer = REGULARIZERS.resolve(kernel_regularizer)
        self.bias_regularizer = REGULARIZERS.resolve(bias_regularizer)
        self.kernel_constraint = CONSTRAINTS.resolve(kernel_constraint)
        self.bias_constraint = CONSTRAINTS.resolve(bias_constraint)
        self.input_quantizer = self.add_quantizer(input_quantizer, "activation", "input")
        self.kernel_quantizer = self.add_quantizer(kernel_quantizer, "weight", "kernel", self.kernel_channel_axes())
        self.bias_quantizer = self.add_quantizer(bias_quantizer, "bias", "bias") if self.has_bias() else None
        self.output_quantizer = None
        if output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(output_quantizer, "activation", "output")

    def has_bias(self) -> bool:
        """Whether there is a bias; asked in the constructor, after the subclass has kept its arguments."""
        raise NotImplementedError

    def kernel_channel_axes(self) -> tuple[int, ...]:
        """The kernel's axes that `granularity="channel"` gives bits of their own."""
        return (-1,)

    def product(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Multiply inputs and kernel."""
        raise NotImplementedError

    def affine(self, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """Multiply inputs and kernel, and add the bias."""
        outputs = self.product(x, kernel)
        return outputs if bias is None else outputs + bias

    def exact_product(self, arrays: Arrays[A], x: A, kernel: A) -> A:
        """Multiply inputs and kernel, exactly."""
        raise NotImplementedError

    def build_parts(
        self, input_shape: Sequence[int | None], kernel_shape: Sequence[int], bias_shape: Sequence[int] | None
    ) -> None:
        """Add kernel and bias, and build the quantizers; a subclass's `build` ends with it.

        Args:
            input_shape: batch axis included.
            kernel_shape: of K.
            bias_shape: of b, as it is added to the output; None without a bias.
        """
        static = {axis: size for axis, size in enumerate(input_shape) if axis and size is not None}
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes=static)
        self.input_quantizer.build(tuple(input_shape))
        self.kernel = self.add_weight(
            name="kernel",
            shape=tuple(kernel_shape),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.kernel_quantizer.build(tuple(kernel_shape))
        self.bias = None
        if bias_shape is not None:
            self.add_bias(tuple(bias_shape))
            self.bias_quantizer.build(tuple(bias_shape))
        self.built_output_shape = tuple(self.compute_output_shape(tuple(input_shape)))
        if self.output_quantizer is not None:
            self.output_quantizer.build(self.built_output_shape)
        self.built = True

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

    def folded(self) -> dict[str, Tensor]:
        """Give the kernel and the bias."""
        return {"kernel": self.kernel, **({} if self.bias is None else {"bias": self.bias})}

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Compute the equation above."""
        training = bool(training)
        constants = self.constants(training)
        return self.respond(self.input_quantizer.quantize(inputs, training), constants, training)

    def respond(self, x: Tensor, constants: Mapping[str, Tensor], training: bool) -> Tensor:
        """Compute the outputs from what is quantized already.

        Args:
            x: quantized inputs.
            constants: quantized kernel and bias.
            training: whether the layer is in training.
        """
        outputs = self.affine(x, **constants)
        if self.activation is not keras.activations.linear:
            outputs = self.activation(outputs)
        return outputs if self.output_quantizer is None else self.output_quantizer.quantize(outputs, training)

    def bias_ebops(self, bias_bits: Tensor) -> Tensor:
        """Give the sum of the bias bits over the outputs of one sample; an axis without static size counts once."""
        outputs = math.prod(size or 1 for size in self.built_output_shape[1:])
        positions = outputs // math.prod(bias_bits.shape)
        return total(bias_bits) if positions == 1 else total(bias_bits) * float(positions)

    def product_ebops(self, input_bits: Tensor, kernel_bits: Tensor) -> Tensor:
        """Give the sum over the products of one sample of input bits times kernel bits."""
        raise NotImplementedError

    def ebops(self) -> Tensor:
        """Give the products' bits, and the biases'."""
        bits = self.weight_bits()
        cost = self.product_ebops(self.input_quantizer.bits(), bits["kernel"])
        return cost + self.bias_ebops(bits["bias"]) if "bias" in bits else cost

    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        """State the equation above in integers."""
        (x,) = inputs
        outputs = self.exact_product(arrays, self.input_quantizer.exact(arrays, x), self.constant(arrays, "kernel"))
        if self.has_bias():
            outputs = arrays.add(outputs, self.constant(arrays, "bias"))
        if self.activation is keras.activations.relu:
            outputs = rectify(arrays, outputs)
        return outputs if self.output_quantizer is None else self.output_quantizer.exact(arrays, outputs)
