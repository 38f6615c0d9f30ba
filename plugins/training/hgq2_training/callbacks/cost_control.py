"""The base of callbacks that train to a cost: the price of bits follows from a target, and bits can be held."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ebops, layers_of
from hgq2_core.errors import ConfigError
from hgq2_core.optimizer import BitOptimizer
from hgq2_core.quantizers.bit_variables import is_bit_variable
from hgq2_training.callbacks.values import assign, value_of

FIRST_PRICE = 0.02
"""Share of the loss that the EBOPs make up in the second epoch; the first, which tells the loss, is free."""
PROPORTIONAL = 2.0
"""Power of cost over target by which a price exceeds its lasting part."""
INTEGRAL, FASTEST = 30.0, 0.1
"""Power of cost over target by which the lasting part grows in a whole training, and at most in a step."""
CLIP = 1.0
"""Limit on the logarithm of cost over target, so that a long way to go does not pile up in the price."""

TRAVEL = 16.0
"""Bits that a bit-width can move by full steps on its way, also where steps are few or small."""


@dataclass
class ControlState:
    """What a resumed training continues with.

    Args:
        ratios: price of each layer, relative to the mean.
        start: the calibrated cost before training.
        correction: calibrated cost, relative to that in training.
        log_price: logarithm of the lasting part of the price; None in the first epoch, which is free.
        bit_scale: learning rate of bits, relative to that of weights; 0 before the first epoch.
    """

    ratios: list[float] = field(default_factory=list)
    start: float = 0.0
    correction: float = 1.0
    log_price: float | None = None
    bit_scale: float = 0.0


S = TypeVar("S", bound=ControlState)


class CostControl(keras.callbacks.Callback, Generic[S]):
    """Set `ebops_beta` of every layer before each step, so that the calibrated cost follows a target.

    A controller of the price's logarithm with a proportional and an integral part; where layers have different prices,
    their ratios stay. A subclass sets the target and the pace at the beginning of each epoch, and may hold bits.
    """

    _state: S

    def __init__(self) -> None:
        super().__init__()
        self._bits: list[keras.Variable] = []
        self._priced: list[keras.Variable] = []
        self._held: list[Any] = []
        self._target = math.inf
        self._pace = 0.0
        self._price = 0.0

    def layer_ratios(self) -> list[float]:
        """Return the price of each layer, relative to the mean.

        Raises:
            ConfigError: the model has no layer with a price.
        """
        prices = [value_of(each) for each in self._prices()]
        if not prices:
            raise ConfigError(f"No layer of model {self.model.name!r} has EBOPs to bound.")
        mean = float(np.mean(prices))
        return [float(each / mean) if mean else 1.0 for each in prices]

    def follow(self, target: float, epochs: float) -> None:
        """Set the target of this epoch, and pace and bits' rate by the epochs in which it has its way to go."""
        self._bits = [each for each in self.model.trainable_variables if is_bit_variable(each)]
        self._priced = self._prices()
        self._target = target
        steps = epochs * (self.params["steps"] or 1)
        self._pace = min(FASTEST, INTEGRAL / steps)
        optimizer = self.model.optimizer
        if isinstance(optimizer, BitOptimizer):
            if not self._state.bit_scale:
                enough = TRAVEL / (float(optimizer.learning_rate) * steps)
                self._state.bit_scale = max(optimizer.bit_learning_rate_scale, enough)
            optimizer.bit_learning_rate_scale = self._state.bit_scale

    def hold(self, held: bool) -> None:
        """Hold the present bits through this epoch, or let them go."""
        self._held = [value_of(each) for each in self._bits] if held else []

    def corrected(self, calibrated: float, present: float) -> None:
        """Take note of the cost after calibration and before."""
        self._state.correction = calibrated / present if calibrated and present else 1.0

    def first_price(self, loss: float) -> None:
        """Set the first price, after the first epoch has told the loss."""
        if self._state.log_price is None:
            self._state.log_price = math.log(FIRST_PRICE * _positive(loss) / _positive(ebops(self.model)))

    @override
    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._sync()
        self._price = self._next_price()
        for price, ratio in zip(self._priced, self._state.ratios, strict=True):
            price.assign(self._price * ratio)

    @override
    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._held:
            self._sync()
            assign(self._bits, self._held)

    def _next_price(self) -> float:
        """Take one step of the controller, and return the price."""
        if self._state.log_price is None:
            return 0.0
        present = ebops(self.model)
        share = self._state.correction * present / self._target
        excess = min(CLIP, max(-CLIP, math.log(share))) if share else -CLIP
        self._state.log_price += self._pace * excess
        return math.exp(self._state.log_price + PROPORTIONAL * excess)

    def _prices(self) -> list[keras.Variable]:
        found = (getattr(layer, "ebops_beta", None) for layer in layers_of(self.model))
        return [each for each in found if isinstance(each, keras.Variable)]

    def _sync(self) -> None:
        # On jax the step's state is elsewhere until somebody asks for it.
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()


def _positive(value: float) -> float:
    return value if 0 < value < math.inf else 1.0
