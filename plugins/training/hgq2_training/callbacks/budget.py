"""A bound on the calibrated EBOPs of the model that a training ends with."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from hgq2_core import calibrate, ebops, layers_of
from hgq2_core.data.splits import Splits
from hgq2_core.errors import BudgetError, ConfigError
from hgq2_core.model.number_format import format_count
from hgq2_core.quantizers.bit_variables import is_bit_variable
from hgq2_training.callbacks.front import direction_of
from hgq2_training.callbacks.pareto_front import BATCH_SIZE, preserve_state
from hgq2_training.callbacks.values import value_of

FULL = 0.97
"""Share of the budget from which on all of it counts as used."""
AIM = 0.985
"""Share of the budget at which training aims: the last epochs move ranges, and with them the cost, a little."""
LIMIT = 0.995
"""Share of the budget up to which the bits of the last epochs cost."""
DESCENT = 0.5
"""Share of the epochs in which the target falls from the cost at the start to the aim."""
SETTLING = 0.15
"""Share of the epochs, the last ones, in which the bits stay and only the weights learn."""
HALVINGS = 8
"""Steps of the search for a mixture of bits, before single ones are taken."""
FIRST_PRICE = 0.02
"""Share of the loss that the EBOPs make up in the second epoch; the first, which tells the loss, is free."""
PROPORTIONAL = 2.0
"""Power of cost over target by which a price exceeds its lasting part."""
INTEGRAL, FASTEST = 30.0, 0.1
"""Power of cost over target by which the lasting part grows in a whole training, and at most in a step."""
CLIP = 1.0
"""Limit on the logarithm of cost over target, so that a long way to go does not pile up in the price."""
SAMPLES = 4096
"""Training samples for the calibration after each epoch."""


@dataclass
class _State:
    """What a resumed training continues with.

    Args:
        ratios: price of each layer, relative to the mean.
        start: the calibrated cost before training.
        correction: calibrated cost, relative to that in training.
        calibrated: the calibrated cost after the last epoch.
        smallest: the smallest so far.
        log_price: logarithm of the lasting part of the price; None in the first epoch, which is free.
        rank: what the best model within the budget is best by; empty while there is none.
        best: its variables.
        above: bits after the last epoch that ended above the aim.
        below: bits after the last epoch that did not.
        settled: whether the bits stay.
    """

    ratios: list[float] = field(default_factory=list)
    start: float = 0.0
    correction: float = 1.0
    calibrated: float = math.inf
    smallest: float = math.inf
    log_price: float | None = None
    rank: list[float] = field(default_factory=list)
    best: list[Any] = field(default_factory=list)
    above: list[Any] = field(default_factory=list)
    below: list[Any] = field(default_factory=list)
    settled: bool = False


class Budget(keras.callbacks.Callback):
    """Train to the best model whose calibrated EBOPs are within a budget, and restore it when training ends.

    `ebops_beta` of every layer is set before each step, by a controller of its logarithm with a proportional and an
    integral part, so that the cost follows a target; where layers have different prices, their ratios stay. The target
    falls from the cost at the start to just below the budget over the first half of the epochs: first learn, then save
    bits. Towards the end the bits settle, between those of epochs above and below the target so that the whole budget
    is used, and only the weights learn. After each epoch the model is calibrated, measured if it is within the budget,
    and restored.

    What is restored is the best of the epochs with settled bits, or of all if none of those is within the budget; of
    equals, the cheapest. `ebops_calibrated` and `ebops_beta` are added to the logs. `hgq2 train` adds this callback for
    `training.budget`, and passes data by `bind`; in Python, pass them to the constructor.

    Args:
        ebops: the most EBOPs of the calibrated model.
        metric: name of the metric that decides among the models within the budget; None for the first that the model
            is compiled with.
        calibration_data: training inputs, as arrays.
        validation_data: arrays `(x, y)` or `(x, y, sample_weight)` on which the metric is measured.

    Raises:
        ConfigError: the budget is not a positive number.

    Example:
        >>> budget = Budget(5000, calibration_data=x, validation_data=(x_validation, y_validation))
        >>> model.fit(x, y, epochs=100, callbacks=[budget])
    """

    def __init__(
        self, ebops: float, metric: str | None = None, *, calibration_data: Any = None, validation_data: Any = None
    ) -> None:
        super().__init__()
        if isinstance(ebops, bool) or not (isinstance(ebops, int | float) and 0 < ebops < math.inf):
            raise ConfigError(f"A budget is a positive number of EBOPs. Received: ebops={ebops!r}")
        self.ebops = float(ebops)
        self.metric = metric
        self.calibration_data = calibration_data
        self.validation_data = validation_data
        self._state = _State()

    def bind(self, directory: str | os.PathLike[str], splits: Splits) -> None:
        """Set the data: those of the training, and for the metric the validation part, or else the training part.

        Args:
            directory: not used.
            splits: the data.
        """
        measured = splits.train if splits.validation is None else splits.validation
        self.calibration_data = splits.train.x
        self.validation_data = (measured.x, measured.y)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start from the prices of the model's layers.

        Raises:
            ConfigError: data are missing, or the model has no layer with a price.
        """
        if self.calibration_data is None or self.validation_data is None:
            raise ConfigError("Budget measures calibrated models: pass `calibration_data` and `validation_data`.")
        prices = [value_of(each) for each in self._prices()]
        if not prices:
            raise ConfigError(f"No layer of model {self.model.name!r} has EBOPs to bound.")
        mean = float(np.mean(prices))
        self._state = _State([float(each / mean) if mean else 1.0 for each in prices])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the target of this epoch, and settle the bits if it is one of the last."""
        state = self._state
        aim = AIM * self.ebops
        self._bits = [each for each in self.model.trainable_variables if is_bit_variable(each)]
        if not state.start:
            state.start = state.smallest = self._record()
        share = epoch / self.params["epochs"]
        self._target = aim * max(1.0, state.start / aim) ** max(0.0, 1 - share / DESCENT)
        self._pace = min(FASTEST, INTEGRAL / (self.params["epochs"] * (self.params["steps"] or 1)))
        if share >= 1 - SETTLING and state.below:
            self._settle()
        self._settled = [value_of(each) for each in self._bits] if state.settled else []

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the prices of this step."""
        self._sync()
        self._price = self._next_price()
        for price, ratio in zip(self._prices(), self._state.ratios, strict=True):
            price.assign(self._price * ratio)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Put bits that stay back in place."""
        if self._settled:
            self._sync()
            _assign(self._bits, self._settled)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Calibrate and measure the model, and keep it if it is the best within the budget."""
        logs = {} if logs is None else logs
        state = self._state
        state.smallest = min(state.smallest, self._record())
        if state.calibrated <= self.ebops:
            self._offer()
        if state.log_price is None:
            state.log_price = math.log(
                FIRST_PRICE * _positive(float(logs.get("loss", 1.0))) / _positive(ebops(self.model))
            )
        logs["ebops_calibrated"] = state.calibrated
        logs["ebops_beta"] = self._price

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the best model within the budget.

        Raises:
            BudgetError: there is none.
        """
        if not self.restore():
            raise BudgetError(
                f"training.budget: no epoch ended within {format_count(self.ebops)} EBOPs; the smallest calibrated "
                f"cost was {format_count(self._state.smallest)}. Train for more epochs, or with a larger budget or a "
                "smaller model."
            )

    def restore(self) -> bool:
        """Assign the variables of the best model within the budget; return False if there is none so far."""
        if not self._state.rank:
            return False
        _assign(self.model.variables, self._state.best)
        return True

    def adds_logs(self) -> tuple[str, ...]:
        """Return the names of the calibrated cost and of the price."""
        return ("ebops_calibrated", "ebops_beta")

    def get_state(self) -> dict[str, Any]:
        """Return what a resumed training continues with."""
        return asdict(self._state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue with this state."""
        self._state = _State(**state)

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

    def _record(self) -> float:
        """Record the calibrated cost and on which side of the aim the bits are; return the cost."""
        state, present = self._state, ebops(self.model)
        state.calibrated = self._calibrated()
        state.correction = _ratio(state.calibrated, present)
        bits = [value_of(each) for each in self._bits]
        if state.calibrated > AIM * self.ebops:
            state.above = bits
        else:
            state.below = bits
        return state.calibrated

    def _settle(self) -> None:
        """Choose the bits of the last epochs: the present ones if they use the budget, else between below and above."""
        state = self._state
        full = FULL * self.ebops <= state.calibrated <= self.ebops
        if not full and not (state.settled and state.calibrated <= self.ebops) and state.above:
            high = 1 << HALVINGS
            below, above = (np.concatenate([each.ravel() for each in bits]) for bits in (state.below, state.above))
            mixtures = [below + np.float32(share / high) * (above - below) for share in range(high + 1)]
            low = self._last_within(mixtures.__getitem__, high)
            below, above = mixtures[low], mixtures[min(low + 1, high)]
            places = np.flatnonzero(below != above)

            def single(count: int) -> Any:
                mixture = below.copy()
                mixture[places[:count]] = above[places[:count]]
                return mixture

            self._last_within(single, len(places))
        state.settled = True

    def _last_within(self, bits_at: Callable[[int], Any], end: int) -> int:
        """Assign bits that are within the limit and followed by bits that are not; return their index.

        Args:
            bits_at: gives the bits of an index; those of 0 are within the limit.
            end: the last index.
        """
        low, high = 0, end + 1
        while high - low > 1:
            middle = (low + high) // 2
            self._assign_bits(bits_at(middle))
            low, high = (middle, high) if self._calibrated() <= LIMIT * self.ebops else (low, middle)
        self._assign_bits(bits_at(low))
        return low

    def _assign_bits(self, flat: Any) -> None:
        ends = np.cumsum([math.prod(each.shape) for each in self._bits])
        parts = np.split(flat, ends[:-1])
        _assign(self._bits, [part.reshape(each.shape) for part, each in zip(parts, self._bits, strict=True)])

    def _calibrated(self) -> float:
        with preserve_state(self.model):
            calibrate(self.model, _some(self.calibration_data))
            return ebops(self.model)

    def _offer(self) -> None:
        state, variables = self._state, [value_of(each) for each in self.model.variables]
        with preserve_state(self.model):
            calibrate(self.model, self.calibration_data)
            cost = ebops(self.model)
            if cost > self.ebops:
                return
            found = self._measure()
        rank = [float(state.settled), found, -cost]
        if rank > state.rank:
            state.rank, state.best = rank, variables

    def _measure(self) -> float:
        """Return the metric, negative if smaller is better."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(tuple(self.validation_data))
        found = self.model.evaluate(x, y, sample_weight=weight, batch_size=BATCH_SIZE, verbose=0, return_dict=True)
        name = self.metric or next((name for name in found if name != "loss"), "loss")
        value = float(found[name])
        return -value if direction_of(name) == "min" else value


def _assign(variables: list[keras.Variable], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _some(data: Any) -> Any:
    """Return evenly spaced samples, all of them if they are few."""
    return keras.tree.map_structure(lambda array: array[:: max(1, -(-len(array) // SAMPLES))], data)


def _ratio(calibrated: float, present: float) -> float:
    return calibrated / present if calibrated and present else 1.0


def _positive(value: float) -> float:
    return value if 0 < value < math.inf else 1.0
