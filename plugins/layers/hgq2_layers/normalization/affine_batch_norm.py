"""A product whose outputs are normalized, folded into one kernel and one bias."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.transfer import copy_weights, shared_arguments
from hgq2_core.ops import Tensor
from hgq2_layers.core.affine import BiasedLayer
from hgq2_layers.normalization.batch_statistics import NormalizationLayer

A = TypeVar("A")


class AffineBatchNorm(NormalizationLayer, BiasedLayer, kw_only=True):
    """y = oq(act(product(iq(x), kq(s * K)) + bq(beta - mean * s))); statistics of product(iq(x), K).

    A mixin in front of the layer with one kernel that says which product.
    """

    # Normalization takes every bias away again; beta is in its place.
    not_in_schema: ClassVar[tuple[str, ...]] = ("bias_initializer", "bias_regularizer", "bias_constraint")
    fuses = "keras.BatchNormalization"

    @classmethod
    @override
    def keras_arguments(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> dict[str, Any]:
        """Return the arguments that stand for a Keras layer and the normalization that directly follows.

        Raises:
            ConfigError: no normalization, one behind an activation or along other axes, arguments that are lost, or one
                of the two layers trained without the other.
        """
        activation = getattr(layer, "activation", None)
        if not successor or activation is not keras.activations.linear:
            raise ConfigError(
                f"{layer.name}: {cls.__name__} stands for a linear layer and the BatchNormalization right behind that "
                f"alone takes its output. Received: activation={getattr(activation, '__name__', None)!r}, behind: "
                f"{', '.join(each.name for each in successor) or 'none'}."
            )
        (norm,) = successor
        if layer.trainable != norm.trainable or layer.activity_regularizer is not None:
            raise ConfigError(
                f"{layer.name}: {cls.__name__} trains kernel and normalization together, and has no outputs of the "
                f"kernel alone to regularize. Received: trainable={layer.trainable}, that of {norm.name} "
                f"{norm.trainable}, activity_regularizer={layer.activity_regularizer!r}."
            )
        of_layer = {**shared_arguments(layer, cls, ("use_bias", "bias_axes")), **cls.axes_from_keras(layer, norm)}
        return {**shared_arguments(norm, cls, ("axis", "name", "dtype")), **of_layer}

    @classmethod
    def axes_from_keras(cls, layer: keras.layers.Layer, norm: keras.layers.Layer) -> dict[str, Any]:
        """Return the arguments that say which axes are normalized; refuse other axes than this class has."""
        rank = norm.input_spec.ndim
        if norm.axis % rank != rank - 1:
            raise ConfigError(f"{norm.name}: {cls.__name__} normalizes the last axis. Received: axis={norm.axis}.")
        return {}

    @override
    def take_weights(self, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> None:
        """Take over the kernel and the normalization; a bias in front of it moves the mean."""
        (norm,) = successor
        copy_weights(norm, self)
        (kernel,) = self.kernels().values()
        kernel.assign(keras.ops.convert_to_numpy(layer.kernel).copy())
        if layer.bias is not None:
            self.moving_mean.assign(self.moving_mean - keras.ops.reshape(layer.bias, self.moving_mean.shape))

    @override
    def exact(self, arrays: Arrays[A], *inputs: A, mask: A | None = None) -> A:
        """State the equation above in integers, in which a mask has no part."""
        return super().exact(arrays, *inputs)

    @override
    def has_bias(self) -> bool:
        """There is one always: what is left of the mean."""
        return True

    @override
    def normalized(self, x: Tensor) -> Tensor:
        return self.products(x, self.kernels(), True)

    def scaled_kernel(self, kernel: Tensor, s: Tensor) -> Tensor:
        """Return s * K; here s is along the kernel's last axis."""
        return kernel * s

    def spread(self, statistics: Tensor) -> Tensor:
        """Return statistics the shape in which they are added to the outputs."""
        return statistics

    @override
    def fold(self, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
        """Return the kernel and the bias for these statistics."""
        s = self.factors(variance)
        shift = self.spread(mean * s)
        kernels = {name: self.scaled_kernel(kernel, s) for name, kernel in self.kernels().items()}
        bias = -shift if self.beta is None else self.beta - shift
        return self.within_accumulator({**kernels, "bias": bias})
