"""What spiking layers and cells share: the parameters of a neuron, and one step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeVar

import keras
import numpy as np
from pydantic import Field
from typing_extensions import override

from hgq2_core import ConfigError, QLayer, Quantizer
from hgq2_core.exact import Intervals
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.integers import to_float
from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.ops import Tensor, total
from hgq2_layers.merging.elementwise import ADDER
from hgq2_layers.rnn.arithmetic import Arithmetic, Exact, Tensors
from hgq2_layers.rnn.step import changes, step_quantizer
from hgq2_layers.spiking.surrogate import Spike, SurrogateArg

A = TypeVar("A")
Positive = Annotated[float, Field(gt=0, le=2.0**16)]
ResetMechanism = Literal["subtract", "zero", "none"]
Shape = tuple[int | None, ...]

WIDEST = 62
"""Integer and fraction bits of a number of which nothing is known."""

CONSTANT_BITS = 8
"""Significant bits that a parameter without a quantizer may have: it is a constant in the circuit."""


class SpikingStep(QLayer, kw_only=True):
    """One step of spiking neurons; a subclass has the arguments `threshold` and `reset_mechanism` too, in front.

    Args:
        surrogate: the derivative of a spike in training, a function of z = u_t - threshold: `fast_sigmoid`, `arctan`,
            `sigmoid`, `triangular` or `straight_through`; in Python also a function of z that is registered with Keras.
        slope: of a surrogate by name; None for 25, 2, 25, 1 or 1.
        inhibition: whether of the neurons along the last axis only that which is furthest above its threshold spikes,
            the first of several; the others are reset as they would be without.
        learn_threshold: whether the threshold is trained, one for each neuron.
        graded_spikes_factor: the value of a spike.
        learn_graded_spikes_factor: whether that value is trained, one for each neuron.
        membrane_quantizer: of u, the same in all steps: a config, a kind, a mapping, or None for the default of
            activations, saturating.
        threshold_quantizer: of thresholds that are one for each neuron: a config, a kind, a mapping, or None, which for
            a trained one is the default of weights, and for any other a number of few bits.
        graded_spikes_quantizer: of values of spikes that are one for each neuron: a config, a kind, a mapping, or None,
            which for trained ones is the default of weights, and for any other a number of few bits.
    """

    surrogate: SurrogateArg = "fast_sigmoid"
    slope: Positive | None = None
    inhibition: bool = False
    learn_threshold: bool = False
    graded_spikes_factor: Positive = 1.0
    learn_graded_spikes_factor: bool = False
    membrane_quantizer: QuantizerArg = None
    threshold_quantizer: QuantizerArg = None
    graded_spikes_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: a number of too many bits without a quantizer, or a slope of a function of one's own.
        """
        super().setup()
        if self.slope is not None and not isinstance(self.surrogate, str):
            raise ConfigError(
                f"{self.name}: a surrogate of one's own is a function of z alone. Received: slope={self.slope}. "
                "Leave slope out."
            )
        self.membrane_quantizer = self.add_quantizer(step_quantizer(self.membrane_quantizer), "activation", "membrane")
        self.trained: dict[str, bool] = {}
        self.threshold_quantizer = self.add_parameter("threshold", self.learn_threshold, self.threshold_quantizer)
        self.graded_spikes_quantizer = self.add_parameter(
            "graded_spikes_factor", self.learn_graded_spikes_factor, self.graded_spikes_quantizer
        )
        self.spike = Spike(self.surrogate, self.slope)

    def add_parameter(self, name: str, learn: bool, quantizer: Any) -> Quantizer[Any] | None:
        """Make the quantizer of a parameter of the neurons, if it is trained or quantized; else it is a constant.

        Args:
            name: of the argument that has its value at the beginning.
            learn: whether it is trained.
            quantizer: the argument.
        """
        if not learn and quantizer is None:
            short(getattr(self, name), name, self.name)
            return None
        self.trained[name] = learn
        return self.add_quantizer(quantizer, "weight", name)

    def build_step(self, batch: int | None, shape: Sequence[int | None]) -> None:
        """Add the parameters, one for each neuron, and build the quantizers.

        Args:
            batch: its size.
            shape: of a step, without the batch.

        Raises:
            ConfigError: no static size where each neuron has a parameter of its own, or where one inhibits others.
        """
        shape = tuple(shape)
        if (None in shape and self.trained) or (self.inhibition and (not shape or shape[-1] is None)):
            raise ConfigError(
                f"{self.name}: neurons with parameters of their own, or that inhibit each other, are of static number. "
                f"Received: a step of shape {list(shape)}."
            )
        self.membrane_quantizer.build((batch, *shape))
        self._parameters = {
            name: self.add_weight(
                name=name,
                shape=shape,
                initializer=keras.initializers.Constant(getattr(self, name)),
                trainable=learn,
            )
            for name, learn in self.trained.items()
        }
        for name in self.trained:
            self.slot_quantizer(name).build(shape)

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return the parameters that have quantizers."""
        return {name: keras.ops.convert_to_tensor(value) for name, value in self._parameters.items()}

    def scans(self) -> bool:
        """Return True if steps may be one loop: on jax, where the membrane's quantizer has no changing state."""
        return keras.backend.backend() == "jax" and not changes(self.membrane_quantizer)

    def values(self, arithmetic: Arithmetic[A]) -> dict[str, Any]:
        """Return the parameters by name: operands, or numbers, which are constants."""
        names = ("threshold", "graded_spikes_factor", *(("beta",) if hasattr(self, "beta") else ()))
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        if isinstance(arithmetic, Exact):
            return {**found, **{name: self.constant(arithmetic.arrays, name) for name in self.trained}}
        return {**found, **self.constants(isinstance(arithmetic, Tensors) and arithmetic.training)}

    def step(self, arithmetic: Arithmetic[A], x: A, v: A, values: dict[str, Any]) -> list[A]:
        """Return the spikes and the membrane potential after a step.

        Args:
            arithmetic: tensors, or exact arrays.
            x: quantized input.
            v: the potential before.
            values: the parameters.
        """
        beta = values.get("beta", 1.0)
        kept = v if isinstance(beta, float) and beta == 1.0 else _times(arithmetic, v, beta)
        u = arithmetic.quantize(self.membrane_quantizer, arithmetic.add(kept, x))
        above = arithmetic.subtract(u, _operand(arithmetic, values["threshold"]))
        spikes = arithmetic.apply(self.spike, above)
        v = self._reset(arithmetic, u, arithmetic.detach(spikes), values["threshold"])
        if self.inhibition:
            spikes = arithmetic.multiply(spikes, arithmetic.first_largest(above))
        graded = values["graded_spikes_factor"]
        return [spikes if isinstance(graded, float) and graded == 1.0 else _times(arithmetic, spikes, graded), v]

    def _reset(self, arithmetic: Arithmetic[A], u: A, spikes: A, threshold: Any) -> A:
        if self.reset_mechanism == "subtract":
            return arithmetic.subtract(u, _times(arithmetic, spikes, threshold))
        if self.reset_mechanism == "zero":
            return arithmetic.multiply(u, arithmetic.subtract(arithmetic.one(), spikes))
        return u

    def kept_potential(self, arrays: Arrays[A], v: A) -> A:
        """Return a potential that an earlier call left, in the format of all potentials: it does not change.

        Where the potential enters a circuit, that is the format of the port. A spike leaves no more than u, but its
        steps may be those of the threshold.

        Args:
            arrays: integers, intervals, or hardware.
            v: the potential.
        """
        bounds = Intervals()
        any_ = np.full((1, *arrays.shape(v)[1:]), 2.0**WIDEST)
        u = self.membrane_quantizer.exact(bounds, bounds.between(-any_, any_, WIDEST))
        after = u
        if self.reset_mechanism == "subtract":
            threshold: Any = self.constants()["threshold"] if "threshold" in self.trained else self.threshold
            after = bounds.subtract(u, bounds.constant(keras.ops.convert_to_numpy(threshold)))
            after = bounds.maximum(u, after)
        least, most = to_float(u.lo), to_float(after.hi)
        if most.max() >= 2.0**WIDEST:  # no quantizer bounds it
            return v
        f = np.maximum(after.step, -WIDEST)
        mantissa, exponent = np.frexp(np.maximum(most + np.ldexp(1.0, -f), -least))
        return arrays.quantize(v, (least < 0).astype(int), exponent - (mantissa == 0.5), f, "TRN", "WRAP")

    def ebops_of_a_step(self, integrated: Tensor) -> Tensor:
        """Return the sums, comparisons and products of one step.

        Args:
            integrated: total bits of the sums of input and potential.
        """
        membrane = self.membrane_quantizer.bits()
        subtracted = float(self.reset_mechanism == "subtract")
        cost = ADDER * integrated + ADDER * (1.0 + subtracted) * total(membrane)
        bits = self.weight_bits()
        if "beta" in bits:
            cost = cost + total(membrane * bits["beta"])
        elif hasattr(self, "beta"):
            cost = cost + significant_bits(self.beta) * total(membrane)
        if "graded_spikes_factor" in bits:  # each spike is one bit
            cost = cost + total(bits["graded_spikes_factor"])
        if self.inhibition:  # the largest before and behind each, and a comparison with both
            least = keras.ops.min(membrane, axis=-1)
            cost = cost + 2.0 * (total(membrane) - total(least)) + 2.0 * ADDER * total(membrane)
        return cost


def _operand(arithmetic: Arithmetic[A], value: Any) -> Any:
    return arithmetic.number(value) if isinstance(value, float) else value


def _times(arithmetic: Arithmetic[A], a: A, factor: Any) -> A:
    return arithmetic.scale(a, factor) if isinstance(factor, float) else arithmetic.multiply(a, factor)


def short(value: float, word: str, where: str) -> float:
    """Return a number back that has few bits.

    Args:
        value: positive.
        word: the argument's name.
        where: the layer's name.

    Raises:
        ConfigError: it has too many, and which number comes closest.
    """
    mantissa, exponent = math.frexp(value)
    near = math.ldexp(round(mantissa * 2.0**CONSTANT_BITS), exponent - CONSTANT_BITS)
    if near != value:
        raise ConfigError(
            f"{where}: {word} is a constant of the circuit, of at most {CONSTANT_BITS} significant bits. "
            f"Received: {word}={value}. The closest: {near} ({Fraction(near)})."
        )
    return value


def significant_bits(value: float) -> int:
    """Return the bits of a constant factor from its first 1 to its last, less one: 0 for a power of 2, which shifts."""
    numerator = abs(Fraction(value).numerator)
    return numerator.bit_length() - (numerator & -numerator).bit_length()
