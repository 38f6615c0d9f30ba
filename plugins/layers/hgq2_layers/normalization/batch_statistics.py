"""What every layer that normalizes by batch statistics shares: its arguments, its statistics, its scale and offset."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

import keras
from pydantic import Field
from typing_extensions import override

from hgq2_core import ConfigError, QLayer
from hgq2_core.layers.arguments import ConstraintArg, InitializerArg, RegularizerArg
from hgq2_core.layers.masks import refused_mask
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.phase import phase

Momentum = Annotated[float, Field(ge=0, le=1)]
Epsilon = Annotated[float, Field(gt=0)]


class BatchStatistics(QLayer, kw_only=True):
    """Normalization by the statistics of batches: its arguments, its variables, and what they are at a step.

    In training, mean and variance are those of the batch, through which the gradient flows, and the moving statistics
    follow them once a call. Otherwise, in calibration, and where the layer is not trainable, they are the moving
    statistics.

    Args:
        momentum: the moving statistics keep this share of themselves.
        epsilon: added to the variance.
        center: whether there is a beta.
        scale: whether there is a gamma.
        beta_initializer: Keras initializer of beta.
        gamma_initializer: Keras initializer of gamma.
        moving_mean_initializer: Keras initializer of the moving mean.
        moving_variance_initializer: Keras initializer of the moving variance.
        beta_regularizer: Keras regularizer of beta, or None.
        gamma_regularizer: Keras regularizer of gamma, or None.
        beta_constraint: Keras constraint of beta, or None.
        gamma_constraint: Keras constraint of gamma, or None.
        synchronized: whether statistics are taken over all replicas; tensorflow only, and without masks, as in Keras.
    """

    momentum: Momentum = 0.99
    epsilon: Epsilon = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerArg = "zeros"
    gamma_initializer: InitializerArg = "ones"
    moving_mean_initializer: InitializerArg = "zeros"
    moving_variance_initializer: InitializerArg = "ones"
    beta_regularizer: RegularizerArg = None
    gamma_regularizer: RegularizerArg = None
    beta_constraint: ConstraintArg = None
    gamma_constraint: ConstraintArg = None
    synchronized: bool = False

    @override
    def setup(self) -> None:
        """Make what the other bases have.

        Raises:
            ConfigError: `synchronized` on another backend than tensorflow.
        """
        super().setup()
        if self.synchronized and keras.backend.backend() != "tensorflow":
            raise ConfigError(
                f"{self.name}: Keras synchronizes statistics on tensorflow only. "
                f"Received: synchronized=True on {keras.backend.backend()}."
            )

    def add_normalization(
        self, shape: Sequence[int], reduced: Sequence[int], beta_shape: Sequence[int] | None = None
    ) -> None:
        """Add gamma, beta and the moving statistics; for a subclass's `build`.

        Args:
            shape: of the statistics.
            reduced: axes of the normalized values over which they are taken.
            beta_shape: of beta; None for that of the statistics.
        """
        self.reduced = tuple(reduced)
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma",
                shape=tuple(shape),
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=tuple(shape if beta_shape is None else beta_shape),
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=tuple(shape), initializer=self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=tuple(shape), initializer=self.moving_variance_initializer, trainable=False
        )

    def factors(self, variance: Tensor) -> Tensor:
        """Return s."""
        deviation = keras.ops.sqrt(variance + self.epsilon)
        return 1.0 / deviation if self.gamma is None else self.gamma / deviation

    def follows(self, training: bool) -> bool:
        """Return True if a call uses, and follows, the statistics of its batch."""
        return bool(training and self.trainable and not self.frozen and phase() == "normal")

    def follow(self, mean: Tensor, variance: Tensor) -> None:
        """Let the moving statistics follow those of a batch."""
        for moving, present in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + present * (1.0 - self.momentum))


class NormalizationLayer(BatchStatistics, kw_only=True):
    """s = gamma / sqrt(variance + epsilon), o = beta - mean * s; a subclass says what they scale and shift.

    Args:
        **kwargs: of the normalization, as in `BatchStatistics`.
    """

    def normalized(self, x: Tensor) -> Tensor:
        """Return the values that are normalized.

        Args:
            x: quantized inputs.
        """
        return x

    @abstractmethod
    def fold(self, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
        """Return what the weight quantizers see for these statistics, by slot name."""

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return what the weight quantizers see in inference."""
        return self.fold(self.moving_mean, self.moving_variance)

    @override
    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        """Compute the equation of the layer.

        Args:
            inputs: of the layer.
            training: whether to use, and to follow, the statistics of the batch.
            mask: of the leading axes of the inputs; what it leaves out has no part in the statistics.
        """
        training = bool(training)
        x = self.input_quantizer.quantize(inputs, training)
        constants = self.constants_of_batch(x, mask) if self.follows(training) else self.constants(training)
        return self.respond(x, constants, training)

    def constants_of_batch(self, x: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """Return the quantized constants for the statistics of a batch, which the moving statistics follow.

        Args:
            x: quantized inputs.
            mask: of the leading axes of the inputs; None for all of them.
        """
        values = self.normalized(x)
        if mask is None:
            mean, variance = keras.ops.moments(values, self.reduced, synchronized=self.synchronized)
        else:
            mean, variance = self._masked_moments(values, mask)
        self.follow(mean, variance)
        folded = self.fold(mean, variance)
        return {name: self.slot_quantizer(name).quantize(value, True) for name, value in folded.items()}

    def _masked_moments(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        kept = keras.ops.broadcast_to(keras.ops.cast(self._check_mask(mask), "bool"), keras.ops.shape(values))
        # As Keras does it: where nothing is kept, both are 0.
        count = keras.ops.sum(keras.ops.cast(kept, values.dtype), self.reduced, keepdims=True) + keras.config.epsilon()
        mean = keras.ops.sum(keras.ops.where(kept, values, 0.0), self.reduced, keepdims=True) / count
        squares = keras.ops.square(keras.ops.where(kept, values - mean, 0.0))
        variance = keras.ops.sum(squares, self.reduced, keepdims=True) / count
        return keras.ops.squeeze(mean, self.reduced), keras.ops.squeeze(variance, self.reduced)

    @override
    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> Any:
        """Return the mask of the outputs.

        Raises:
            ConfigError: a mask that cannot be used in training.
        """
        if previous_mask is not None:
            self._check_mask(previous_mask)
        return super().compute_mask(inputs, previous_mask)

    def _check_mask(self, mask: Tensor) -> Tensor:
        if self.synchronized:
            raise refused_mask(self.name, "statistics that are synchronized are those of all values")
        return self.spread_mask(mask)

    def spread_mask(self, mask: Tensor) -> Tensor:
        """Return a mask of the inputs a shape that broadcasts against the normalized values."""
        return keras.ops.expand_dims(mask, tuple(range(len(mask.shape), self.input_spec.ndim)))
