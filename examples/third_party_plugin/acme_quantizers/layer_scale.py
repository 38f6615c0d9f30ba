"""A layer that scales each channel."""

from __future__ import annotations

from typing import TypeVar

import keras

from hgq2_core import ConfigError, QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import InitializerArg, QuantizerArg
from hgq2_core.ops import Tensor

A = TypeVar("A")


class QLayerScale(QLayer):
    """y = iq(x) * sq(s), with one s per entry of the last axis: what tames the branches of deep residual networks.

    Args:
        scale_initializer: Keras initializer of s.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        scale_quantizer: a config, a kind, a mapping, or None for the default of weights.
        **kwargs: those of every layer: `ebops_beta`, `enable_ebops`, `name`, `dtype`, `trainable`.

    Cost: the sum of Bx * Bs over the elements of one sample.
    """

    scale_initializer: InitializerArg = "ones"
    input_quantizer: QuantizerArg = None
    scale_quantizer: QuantizerArg = None

    def setup(self) -> None:
        """Make the quantizers."""
        super().setup()
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        self.scale_quantizer = self.add_quantizer(self.scale_quantizer, "weight", "scale")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add s.

        Args:
            input_shape: `(batch, ..., channels)`.

        Raises:
            ConfigError: the last axis has no static size.
        """
        channels = input_shape[-1]
        if channels is None or len(input_shape) < 2:
            raise ConfigError(f"{self.name}: the last axis needs a static size. Received: {input_shape}.")
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: channels})
        self.scale = self.add_weight(name="scale", shape=(channels,), initializer=self.scale_initializer)
        self.input_quantizer.build(tuple(input_shape))
        self.scale_quantizer.build((channels,))
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return input_shape

    def folded(self) -> dict[str, Tensor]:
        """Return s."""
        return {"scale": self.scale}

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Compute the equation above."""
        return self.input_quantizer.quantize(inputs, bool(training)) * self.constants(bool(training))["scale"]

    def ebops(self) -> Tensor:
        """Return the bits of the products."""
        return keras.ops.sum(self.input_quantizer.bits() * self.weight_bits()["scale"])

    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        """State the equation above in integers."""
        (x,) = inputs
        return arrays.multiply(self.input_quantizer.exact(arrays, x), self.constant(arrays, "scale"))
