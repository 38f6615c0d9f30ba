"""What the neurons are: with or without a leak."""

from __future__ import annotations

from typing import Annotated

import keras
from pydantic import Field
from typing_extensions import override

from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.ops import Tensor
from hgq2_layers.spiking.step import Positive, ResetMechanism, SpikingStep

Leak = Annotated[float, Field(gt=0, le=1)]


class IntegrateStep(SpikingStep, kw_only=True):
    """u_t = mq(v_(t-1) + iq(x_t)); s_t = g where u_t > threshold, else 0; v_t = u_t reset by s_t; v_0 = 0.

    A neuron for each element of a step; the layer in front has the weights. The words are those of snnTorch.

    Args:
        threshold: a number of few bits, which a circuit compares with; with `learn_threshold` or `threshold_quantizer`
            one for each neuron, quantized.
        reset_mechanism: `subtract`: v_t = u_t - threshold where u_t > threshold; `zero`: v_t = 0 there; `none`: v_t =
            u_t. No gradient goes through what resets.
        **kwargs: as in `SpikingStep`; Keras' own arguments.

    Cost (docs/numerics.md#7), for each neuron and each step that runs in parallel: 0.65 times the bits of each sum (u,
    and v where the threshold is subtracted) and of the comparison.
    """

    threshold: Positive = 1.0
    reset_mechanism: ResetMechanism = "subtract"


class LeakyStep(SpikingStep, kw_only=True):
    """u_t = mq(beta v_(t-1) + iq(x_t)); s_t = g where u_t > threshold, else 0; v_t = u_t reset by s_t; v_0 = 0.

    Args:
        beta: what is left of the membrane potential from step to step, from 0 to 1: a number of few bits; a power of 2,
            such as 0.5, costs nothing. With `learn_beta` or `beta_quantizer` one for each neuron, clipped to [0, 1] and
            quantized.
        threshold: a number of few bits, which a circuit compares with; with `learn_threshold` or `threshold_quantizer`
            one for each neuron, quantized.
        reset_mechanism: `subtract`: v_t = u_t - threshold where u_t > threshold; `zero`: v_t = 0 there; `none`: v_t =
            u_t. No gradient goes through what resets.
        learn_beta: whether beta is trained, one for each neuron.
        beta_quantizer: of betas that are one for each neuron: a config, a kind (`fixed_point.power_of_two` makes them
            shifts), a mapping, or None, which for a trained one is the default of weights.
        **kwargs: as in `SpikingStep`; Keras' own arguments.

    Cost: as of `IntegrateStep`, and Bu times the bits of a leak that is no power of 2.
    """

    beta: Leak
    threshold: Positive = 1.0
    reset_mechanism: ResetMechanism = "subtract"
    learn_beta: bool = False
    beta_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: a threshold or a leak of too many bits.
        """
        super().setup()
        self.beta_quantizer = self.add_parameter("beta", self.learn_beta, self.beta_quantizer)

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return the parameters that have quantizers, beta within its bounds."""
        found = super().folded()
        return {name: keras.ops.clip(value, 0.0, 1.0) if name == "beta" else value for name, value in found.items()}
