"""A bound on the calibrated EBOPs of the model that a training ends with."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from hgq2_core import calibrate, trim_bits
from hgq2_core import ebops as ebops_of
from hgq2_core.data.splits import Splits
from hgq2_core.errors import BudgetError, ConfigError
from hgq2_core.exporting.luts import LutCost
from hgq2_core.model.number_format import format_count
from hgq2_training.callbacks.cost_control import ControlState, CostControl
from hgq2_training.callbacks.front import direction_of
from hgq2_training.callbacks.pareto_front import BATCH_SIZE, preserve_state, with_weight
from hgq2_training.callbacks.values import assign, value_of

FULL = 0.97
"""Share of the budget from which on all of it counts as used."""
AIM = 0.985
"""Share of the budget at which training aims: the last epochs move ranges, and with them the cost, a little."""
LIMIT = 0.995
"""Share of the budget up to which the bits of the last epochs cost."""
NEAR = 1.1
"""Share of the budget below which the cost is taken on all training data: outliers that a sample lacks cost bits. So is
that at the start, for the relation of the two."""
DESCENT = 0.5
"""Share of the epochs in which the target falls from the cost at the start to the aim."""
SETTLING = 0.15
"""Share of the epochs, the last ones, in which the bits stay and only the weights learn."""
HALVINGS = 8
"""Steps of the search for a mixture of bits, before single ones are taken."""
SEARCHES = 3
"""Searches for bits, each with what the one before made of the cost on all data."""
SAMPLES = 4096
"""Training samples for the calibration after an epoch that is not near the budget, and for the search."""
TOO_FEW = "Train for more epochs, or with a larger budget or a smaller model."
STOPPED = "The training was stopped before its last epochs, in which the cost comes to the budget: leave that out."
"""What to do where no model is within the budget, of a training to its end and of one that was stopped."""


@dataclass
class _State(ControlState):
    """What a resumed training continues with.

    Args:
        whole: the cost calibrated on all data, relative to that on a sample.
        calibrated: the calibrated cost after the last epoch.
        smallest: the smallest so far.
        rank: what the best model within the budget is best by; empty while there is none.
        best: its variables.
        above: bits after the last epoch that ended above the aim.
        below: bits after the last epoch that did not.
        settled: whether the bits stay.
    """

    whole: float = 1.0
    calibrated: float = math.inf
    smallest: float = math.inf
    rank: list[float] = field(default_factory=list)
    best: list[Any] = field(default_factory=list)
    above: list[Any] = field(default_factory=list)
    below: list[Any] = field(default_factory=list)
    settled: bool = False


class Budget(CostControl[_State]):
    """Train to the best model whose calibrated EBOPs are within a budget, and restore it when training ends.

    The price of bits follows a target, which falls from the cost at the start to just below the budget over the first
    half of the epochs: first learn, then save bits. Towards the end the bits settle, between those of epochs above and
    below the target so that the whole budget is used, and only the weights learn, with room for values that need more
    bits. After each epoch the model is trimmed, calibrated, measured if it is within the budget, and restored.

    What is restored is the best of the epochs with settled bits that use the budget, else of those with settled bits,
    else of all; of equals, the cheapest. `ebops_calibrated`, or `luts_calibrated`, and `ebops_beta` are added to the
    logs. `hgq2 train` adds this callback for `training.budget`, and passes data by `bind`; in Python, pass them to the
    constructor.

    Args:
        ebops: the most EBOPs of the calibrated model.
        luts: the most LUTs of it in place of EBOPs, see `hgq2_core.exporting.luts`; the price stays one of EBOPs, and
            follows from the LUTs that the calibrated model has for each.
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
        self,
        ebops: float | None = None,
        metric: str | None = None,
        *,
        luts: float | None = None,
        calibration_data: Any = None,
        validation_data: Any = None,
    ) -> None:
        super().__init__()
        most = ebops if luts is None else luts
        if (ebops is not None and luts is not None) or isinstance(most, bool) or not isinstance(most, int | float):
            raise ConfigError(f"A budget is a number of EBOPs or of LUTs. Received: ebops={ebops!r}, luts={luts!r}")
        if not 0 < most < math.inf:
            raise ConfigError(f"A budget is a positive number of EBOPs or LUTs. Received: {most!r}")
        self.unit = "EBOPs" if luts is None else "LUTs"
        self._cost: Callable[[keras.Model], float] = ebops_of if luts is None else LutCost().of
        self._most = float(most)
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
        self.validation_data = with_weight(measured)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start from the prices of the model's layers.

        Raises:
            ConfigError: data are missing, or the model has no layer with a price.
        """
        if self.calibration_data is None or self.validation_data is None:
            raise ConfigError("Budget measures calibrated models: pass `calibration_data` and `validation_data`.")
        self._state = _State(self.layer_ratios())

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the target of this epoch, and settle the bits if it is one of the last."""
        state, epochs = self._state, self.params["epochs"]
        aim, share = AIM * self._most, epoch / epochs
        self.follow(aim, epochs)
        if not state.start:
            state.start = state.smallest = self._record()
        self.follow(aim * max(1.0, state.start / aim) ** max(0.0, 1 - share / DESCENT), epochs)
        if share >= 1 - SETTLING and state.below:
            self._settle()
        self.hold(state.settled)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Calibrate and measure the model, and keep it if it is the best within the budget."""
        logs = {} if logs is None else logs
        state = self._state
        state.smallest = min(state.smallest, self._record(measured=True))
        self.first_price(float(logs.get("loss", 1.0)))
        logs[self._name] = state.calibrated
        logs["ebops_beta"] = self._price

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the best model within the budget.

        Raises:
            BudgetError: there is none.
        """
        if self._state.settled and not self._uses_budget():
            # The weights of the last epochs moved ranges beyond the budget, or far below it.
            self._settle()
            self._record(measured=True)
        if not self.restore():
            raise BudgetError(
                f"training.budget: no epoch ended within {format_count(self._most)} {self.unit}; the smallest "
                f"calibrated cost was {format_count(self._state.smallest)}. "
                f"{STOPPED if self.model.stop_training else TOO_FEW}"
            )

    def restore(self) -> bool:
        """Assign the variables of the best model within the budget; return False if there is none so far."""
        if not self._state.rank:
            return False
        assign(self.model.variables, self._state.best)
        return True

    def adds_logs(self) -> tuple[str, ...]:
        """Return the names of the calibrated cost and of the price."""
        return (self._name, "ebops_beta")

    @property
    def _name(self) -> str:
        return f"{self.unit.lower()}_calibrated"

    def get_state(self) -> dict[str, Any]:
        """Return what a resumed training continues with."""
        return asdict(self._state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue with this state."""
        self._state = _State(**state)

    def _uses_budget(self) -> bool:
        """Return True if the best model has settled bits that use the budget."""
        return self._state.rank[:1] == [2.0]

    def _record(self, measured: bool = False) -> float:
        """Record the calibrated cost and on which side of the aim the bits are; return the cost.

        Args:
            measured: whether to measure a model within the budget, and keep it if it is the best.
        """
        state, present = self._state, ebops_of(self.model)
        sampled = self._sampled_cost()
        state.calibrated = state.whole * sampled
        if not state.start or state.calibrated <= NEAR * self._most:
            state.calibrated = self._whole_cost(measured)
            state.whole = _ratio(state.calibrated, sampled)
        self.corrected(state.calibrated, present)
        bits = [value_of(each) for each in self._bits]
        if state.calibrated > AIM * self._most:
            state.above = bits
        else:
            state.below = bits
        return state.calibrated

    def _settle(self) -> None:
        """Choose the bits of the last epochs: the present ones if they use the budget, else between below and above."""
        state = self._state
        if not FULL * self._most <= state.calibrated <= self._most and state.above:
            for _ in range(SEARCHES):
                self._search()
                sampled, state.calibrated = self._sampled_cost(), self._whole_cost()
                state.whole = _ratio(state.calibrated, sampled)
                if state.calibrated <= self._most:
                    break
        state.settled = True

    def _search(self) -> None:
        """Assign the most expensive bits between below and above that the budget allows."""
        state, high = self._state, 1 << HALVINGS
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
            low, high = (middle, high) if self._fits() else (low, middle)
        self._assign_bits(bits_at(low))
        return low

    def _assign_bits(self, flat: Any) -> None:
        ends = np.cumsum([math.prod(each.shape) for each in self._bits])
        parts = np.split(flat, ends[:-1])
        assign(self._bits, [part.reshape(each.shape) for part, each in zip(parts, self._bits, strict=True)])

    def _fits(self) -> bool:
        return self._state.whole * self._sampled_cost() <= LIMIT * self._most

    def _sampled_cost(self) -> float:
        with preserve_state(self.model):
            trim_bits(self.model)
            calibrate(self.model, _some(self.calibration_data))
            return self._cost(self.model)

    def _whole_cost(self, measured: bool = False) -> float:
        """Return the cost calibrated on all data; see `_record`."""
        state = self._state
        with preserve_state(self.model):
            trim_bits(self.model)
            variables = [value_of(each) for each in self.model.variables]
            calibrate(self.model, self.calibration_data)
            cost = self._cost(self.model)
            if not measured or cost > self._most:
                return cost
            rank = [state.settled * (1.0 + (cost >= FULL * self._most)), self._measure(), -cost]
        if rank > state.rank:
            state.rank, state.best = rank, variables
        return cost

    def _measure(self) -> float:
        """Return the metric, negative if smaller is better."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(tuple(self.validation_data))
        found = self.model.evaluate(x, y, sample_weight=weight, batch_size=BATCH_SIZE, verbose=0, return_dict=True)
        name = self.metric or next((name for name in found if name != "loss"), "loss")
        value = float(found[name])
        return -value if direction_of(name) == "min" else value


def _some(data: Any) -> Any:
    """Return evenly spaced samples, all of them if they are few."""
    return keras.tree.map_structure(lambda array: array[:: max(1, -(-len(array) // SAMPLES))], data)


def _ratio(calibrated: float, present: float) -> float:
    return calibrated / present if calibrated and present else 1.0
