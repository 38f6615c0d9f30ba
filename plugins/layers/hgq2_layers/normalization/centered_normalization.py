"""What normalizations of rows share that take the mean away: its quantizers, beta, and their cost."""

from __future__ import annotations

from typing import TypeVar

import keras
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, Widths, per_sample
from hgq2_core.layers.arguments import ConstraintArg, InitializerArg, QuantizerArg, RegularizerArg
from hgq2_core.ops import Tensor, total
from hgq2_layers.merging.elementwise import ADDER
from hgq2_layers.normalization.row_normalization import RowNormalization, Shape, Steps

A = TypeVar("A")


class CenteredNormalization(RowNormalization, kw_only=True):
    """d = dq(q - mq(mean q)), y = oq(pq(d t) gq(gamma) + bq(beta)).

    A subclass has the arguments `center` and `scale` too.

    Args:
        mean_quantizer: mq: a config, a kind (`none` among them), a mapping, or None for the default of activations.
        difference_quantizer: dq: a config, a kind (`none` among them), a mapping, or None for the default of
            activations.
        beta_quantizer: a config, a kind, a mapping, or None for the default of biases.
        beta_initializer: Keras initializer of beta.
        gamma_initializer: Keras initializer of gamma.
        beta_regularizer: Keras regularizer of beta, or None.
        gamma_regularizer: Keras regularizer of gamma, or None.
        beta_constraint: Keras constraint of beta, or None.
        gamma_constraint: Keras constraint of gamma, or None.
        **kwargs: the other quantizers and parallelization as in `RowNormalization`.
    """

    mean_quantizer: QuantizerArg = None
    difference_quantizer: QuantizerArg = None
    beta_quantizer: QuantizerArg = None
    beta_initializer: InitializerArg = "zeros"
    gamma_initializer: InitializerArg = "ones"
    beta_regularizer: RegularizerArg = None
    gamma_regularizer: RegularizerArg = None
    beta_constraint: ConstraintArg = None
    gamma_constraint: ConstraintArg = None

    @override
    def setup(self) -> None:
        super().setup()
        if self.center:
            self.beta_quantizer = self.add_quantizer(self.beta_quantizer, "bias", "beta")

    @property
    @override
    def scales(self) -> bool:
        """Whether there is a gamma."""
        return bool(self.scale)

    @override
    def add_centering(self, channel_axes: tuple[int, ...]) -> None:
        """Make the quantizers of mean and difference."""
        self.mean_quantizer = self.add_quantizer(self.mean_quantizer, "activation", "mean", channel_axes)
        self.difference_quantizer = self.add_quantizer(
            self.difference_quantizer, "activation", "difference", channel_axes
        )

    @override
    def build_centering(self, statistics: Shape) -> None:
        """Build the quantizers of mean and difference."""
        self.mean_quantizer.build(statistics)
        self.difference_quantizer.build(self.row_shape)

    @override
    def add_parameters(self, shape: tuple[int, ...]) -> None:
        """Add gamma and beta."""
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
            self.gamma_quantizer.build(shape)
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
            self.beta_quantizer.build(shape)

    @override
    def weights_to_quantize(self) -> dict[str, Tensor]:
        """Return gamma and beta, those that there are."""
        return {**super().weights_to_quantize(), **({"beta": self.beta} if self.center else {})}

    @override
    def centered(self, q: Tensor, reciprocal: Tensor | None, training: bool) -> Tensor:
        """Return the quantized difference of q and its mean."""
        mean = self.mean_quantizer.quantize(self.mean(q, reciprocal), training)
        return self.difference_quantizer.quantize(q - mean, training)

    @override
    def exact_centered(self, arrays: Arrays[A], q: A) -> tuple[A | None, A]:
        mean = self.mean_quantizer.exact(arrays, self.exact_mean(arrays, q))
        return mean, self.difference_quantizer.exact(arrays, arrays.subtract(q, mean))

    @override
    def shifted(self, p: Tensor, training: bool) -> Tensor:
        """Return p gamma + beta."""
        y = super().shifted(p, training)
        return y + keras.ops.reshape(self.quantized_weight("beta", training), self.spread_shape) if self.center else y

    @override
    def exact_shifted(self, arrays: Arrays[A], p: A) -> A:
        y = super().exact_shifted(arrays, p)
        return arrays.add(y, self.exact_weight(arrays, "beta")) if self.center else y

    @override
    def centering_ebops(self, widths: Widths, steps: Steps[Width]) -> Tensor:
        """Return the bits of the adders, of the product with the reciprocal, and of the subtractions."""
        inputs, mean = per_sample(steps.inputs, steps.mean)  # type: ignore[arg-type]
        rows = tuple(axis - 1 for axis in self.row_axes)
        sums = ADDER * (total(inputs) - total(keras.ops.min(inputs, axis=rows)))
        divisions = self.reciprocal_ebops(widths, widths.sum(steps.inputs, self.row_axes, keepdims=True))
        return sums + divisions + total(keras.ops.maximum(inputs, mean))

    @override
    def shift_ebops(self, widths: Widths, normalized: Width) -> Tensor:
        """Return the cost of the products with gamma, and the bits of beta at every element."""
        cost = super().shift_ebops(widths, normalized)
        if not self.center:
            return cost
        _, beta = per_sample(normalized, self.exact_weight(widths, "beta"))
        return cost + total(beta)
