"""Spiking neurons: a membrane that integrates, with or without a leak, and fires."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeVar

import keras
from pydantic import Field

from hgq2_core import ConfigError, QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import PositiveInt, QuantizerArg
from hgq2_core.ops import Tensor, total
from hgq2_layers.merging.elementwise import ADDER
from hgq2_layers.rnn.arithmetic import Arithmetic, Exact, Tensors
from hgq2_layers.rnn.recurrent import step_quantizer

A = TypeVar("A")
Positive = Annotated[float, Field(gt=0, le=2.0**16)]
ResetMechanism = Literal["subtract", "zero"]
SurrogateName = Literal["fast_sigmoid", "arctan"]

CONSTANT_BITS = 8
"""Significant bits that a threshold or a leak may have: both are constants in the circuit."""


@dataclass(frozen=True)
class Surrogate:
    """What stands in for the step from no spike to a spike where gradients are taken.

    Args:
        slope: where the user gives none.
        smooth: of the potential above the threshold, and of the slope.
    """

    slope: float
    smooth: Callable[[Tensor, float], Tensor]


SURROGATES: Mapping[str, Surrogate] = {
    "fast_sigmoid": Surrogate(25.0, lambda z, slope: z / (1.0 + slope * keras.ops.abs(z))),
    "arctan": Surrogate(2.0, lambda z, slope: keras.ops.arctan(math.pi / 2 * slope * z) / math.pi),
}
"""The derivatives are 1 / (1 + slope |z|)^2, of Zenke and Ganguli, SuperSpike, Neural Computation 30 (2018), and
(slope / 2) / (1 + (pi slope z / 2)^2), of Fang et al., Incorporating Learnable Membrane Time Constant, ICCV (2021)."""


class Spike:
    """s = 1 where the potential exceeds the threshold, and 0 elsewhere."""

    def __init__(self, threshold: float, surrogate: Surrogate, slope: float) -> None:
        self.threshold, self.surrogate, self.slope = threshold, surrogate, slope

    def __call__(self, q: Tensor, training: bool) -> Tensor:
        """Return spikes, with the surrogate's gradient in training."""
        spikes = keras.ops.cast(q > self.threshold, q.dtype)
        if not training:
            return spikes
        smooth = self.surrogate.smooth(q - self.threshold, self.slope)
        return spikes + (smooth - keras.ops.stop_gradient(smooth))

    def exact(self, arrays: Arrays[A], q: A) -> A:
        """State the comparison."""
        return arrays.less(arrays.constant(self.threshold), q)


class SpikingLayer(QLayer, kw_only=True):
    """u_t = mq(leak v_(t-1) + iq(x_t)); s_t = 1 where u_t > threshold, else 0; v_t = u_t reset by s_t; v_0 = 0.

    A subclass has the arguments `threshold` and `reset_mechanism` too, in front.

    Args:
        surrogate: the gradient of a spike, `fast_sigmoid` or `arctan`, of u_t - threshold.
        slope: of the surrogate; None for 25, or 2 for `arctan`.
        return_sequences: whether the spikes of all steps are given, as is the rule here, or the last one's.
        return_state: whether the last membrane potential v is given too, such as to read out from it.
        go_backwards: whether the steps go from the end to the beginning.
        input_quantizer: a config, a kind, a mapping, or None for the default of activations.
        membrane_quantizer: of u, the same in all steps: a config, a kind, a mapping, or None for the default of
            activations, saturating.
        parallelization_factor: how many steps run in parallel, for the cost; None for all.
    """

    leak = 1.0
    """What the membrane potential is multiplied with from step to step."""

    refuses_masks = "a circuit runs all its steps, from a membrane of zero"

    surrogate: SurrogateName = "fast_sigmoid"
    slope: Positive | None = None
    return_sequences: bool = True
    return_state: bool = False
    go_backwards: bool = False
    input_quantizer: QuantizerArg = None
    membrane_quantizer: QuantizerArg = None
    parallelization_factor: PositiveInt | None = None

    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: a threshold of too many bits.
        """
        super().setup()
        short(self.threshold, "threshold", self.name)
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")
        self.membrane_quantizer = self.add_quantizer(step_quantizer(self.membrane_quantizer), "activation", "membrane")
        surrogate = SURROGATES[self.surrogate]
        self.spike = Spike(self.threshold, surrogate, self.slope or surrogate.slope)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the quantizers.

        Args:
            input_shape: `(batch, steps, ...)`, the steps of static size.

        Raises:
            ConfigError: no steps, no static number of them, or fewer than run in parallel.
        """
        shape = tuple(input_shape)
        if len(shape) < 2 or shape[1] is None:
            raise ConfigError(f"{self.name}: takes (batch, steps, ...), a static number of steps. Received: {shape}.")
        self._steps = shape[1]
        if (self.parallelization_factor or 1) > self._steps:
            raise ConfigError(
                f"{self.name}: parallelization_factor is at most the number of steps. "
                f"Received: parallelization_factor={self.parallelization_factor} for {self._steps} steps."
            )
        self.input_spec = keras.layers.InputSpec(ndim=len(shape), axes={1: self._steps})
        self.input_quantizer.build(shape)
        self.membrane_quantizer.build((shape[0], *shape[2:]))
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        """Return the shape of the spikes, and of the membrane potential where it is given too."""
        batch, steps, *rest = input_shape
        spikes = (batch, steps, *rest) if self.return_sequences else (batch, *rest)
        return (spikes, (batch, *rest)) if self.return_state else spikes

    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        """Run the steps."""
        return self._run(Tensors(bool(training)), inputs)

    def exact(self, arrays: Arrays[A], *inputs: A) -> Any:
        """Run the steps in integers."""
        (x,) = inputs
        return self._run(Exact(arrays), x)

    def _run(self, arithmetic: Arithmetic[A], inputs: A) -> Any:
        x = arithmetic.quantize(self.input_quantizer, inputs)
        v, spikes = None, []
        for number in range(self._steps)[:: -1 if self.go_backwards else 1]:
            summed = arithmetic.part(x, number, 1)
            if v is not None:
                kept = v if self.leak == 1 else arithmetic.scale(v, self.leak)
                summed = arithmetic.add(kept, summed)
            u = arithmetic.quantize(self.membrane_quantizer, summed)
            spikes.append(arithmetic.apply(self.spike, u))
            v = self._reset(arithmetic, u, arithmetic.detach(spikes[-1]))
        given = arithmetic.stack(spikes) if self.return_sequences else spikes[-1]
        return (given, v) if self.return_state else given

    def _reset(self, arithmetic: Arithmetic[A], u: A, spikes: A) -> A:
        if self.reset_mechanism == "subtract":
            return arithmetic.subtract(u, arithmetic.scale(spikes, self.threshold))
        return arithmetic.multiply(u, arithmetic.subtract(arithmetic.one(), spikes))

    def ebops(self) -> Tensor:
        """Return the sums, comparisons and leaks of the steps that run in parallel."""
        entered, membrane = self.input_quantizer.bits(), self.membrane_quantizer.bits()
        # Each step may have input bits of its own: those of the steps in parallel are their mean.
        integrated = total(keras.ops.maximum(entered, membrane)) / float(self._steps)
        subtracted = float(self.reset_mechanism == "subtract")
        of_membrane = ADDER * (1.0 + subtracted) + significant_bits(self.leak)
        parallel = float(self.parallelization_factor or self._steps)
        return parallel * (ADDER * integrated + of_membrane * total(membrane))


class QIntegrateAndFire(SpikingLayer):
    """u_t = mq(v_(t-1) + iq(x_t)); s_t = 1 where u_t > threshold, else 0; v_t = u_t reset by s_t; v_0 = 0.

    A neuron for each element of a step, (batch, steps, ...); the layer in front has the weights. Axis 1 counts steps,
    each a separate circuit. The words are those of snnTorch.

    Args:
        threshold: a number of few bits, which a circuit compares with.
        reset_mechanism: `subtract`: v_t = u_t - threshold s_t; `zero`: v_t = u_t (1 - s_t). No gradient goes through
            the spikes that reset.
        **kwargs: as in `SpikingLayer`; Keras' own arguments.

    Cost (docs/numerics.md#7), for each neuron and each step that runs in parallel: 0.65 times the bits of each sum (u,
    and v where the threshold is subtracted) and of the comparison; Bu times the bits of a leak that is no power of 2.

    Example:
        >>> model = keras.Sequential([keras.Input((10, 64)), QDense(32), QIntegrateAndFire(), QSum(1)])
    """

    threshold: Positive = 1.0
    reset_mechanism: ResetMechanism = "subtract"


class QLeakyIntegrateAndFire(SpikingLayer):
    """u_t = mq(beta v_(t-1) + iq(x_t)); s_t = 1 where u_t > threshold, else 0; v_t = u_t reset by s_t; v_0 = 0.

    Args:
        beta: what is left of the membrane potential from step to step, from 0 to 1: a number of few bits; a power of 2,
            such as 0.5, costs nothing.
        threshold: a number of few bits, which a circuit compares with.
        reset_mechanism: `subtract`: v_t = u_t - threshold s_t; `zero`: v_t = u_t (1 - s_t). No gradient goes through
            the spikes that reset.
        **kwargs: as in `SpikingLayer`; Keras' own arguments.

    Example:
        >>> layer = QLeakyIntegrateAndFire(beta=0.875, surrogate="arctan")
    """

    beta: Annotated[float, Field(gt=0, le=1)]
    threshold: Positive = 1.0
    reset_mechanism: ResetMechanism = "subtract"

    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: a threshold or a leak of too many bits.
        """
        super().setup()
        self.leak = short(self.beta, "beta", self.name)


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
    """Return the bits of a constant factor from its first 1 to its last; 0 for a power of 2, which only shifts."""
    numerator = abs(Fraction(value).numerator)
    bits = numerator.bit_length() - ((numerator & -numerator).bit_length() - 1)
    return bits if bits > 1 else 0
