"""A front from one training: the cost falls, and then the best models of the way are tuned with their bits held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from typing_extensions import override

from hgq2_core import ebops, trim_bits
from hgq2_training.callbacks.cost_control import ControlState, CostControl
from hgq2_training.callbacks.pareto_front import ParetoFront
from hgq2_training.callbacks.schedule import BETWEEN
from hgq2_training.callbacks.values import assign, value_of

FREE = 0.1
"""Share of the descent in which the target stays at the cost of the start."""
ARRIVED = 0.9
"""Share of the descent after which the target stays at the lowest cost: the cost follows it with a delay."""
FIRST, LAST = 2.0, 32.0
"""How much less than at the start the first and the last of evenly spaced points cost."""


@dataclass
class _State(ControlState):
    """What a resumed training continues with.

    Args:
        values: for each point the best metric so far, larger is better; empty while there is none.
        starts: for each point the model's variables with that metric.
    """

    values: list[list[float]] = field(default_factory=list)
    starts: list[list[Any]] = field(default_factory=list)


class FrontTraining(CostControl[_State]):
    """Train a front at once: lower the cost over the epochs, then tune the best models of the way with their bits held.

    The descent: the learning rate is constant, and the price of bits makes the calibrated cost fall by the same factor
    each epoch, to the lowest of the costs. Of the epochs between each cost and the next the best by the
    metric is kept in memory. The last epochs are for fine-tuning, the same number for each of these, one after the
    other: bits are trimmed and stay, and weights learn, with a rate that falls to 0. `ebops_beta` is added to the logs.

    Args:
        front: the callback that measures each epoch and saves the models; comes before this one.
        costs: the largest calibrated cost of each point; or the number of points, evenly spaced in the
            logarithm from half to 1/32 of the cost at the start.
        tuning_epochs: epochs of fine-tuning, of all points together.
    """

    def __init__(self, front: ParetoFront, costs: Sequence[float] | int, tuning_epochs: int) -> None:
        super().__init__()
        self.front = front
        self.costs = costs
        self.tuning_epochs = tuning_epochs
        self._state = _State()
        self._tuning = False

    @override
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._state = _State(self.layer_ratios())
        self._rate = float(self.model.optimizer.learning_rate)

    @override
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        state, descent = self._state, self.params["epochs"] - self.tuning_epochs
        if not state.start:
            state.start = max(1.0, self.front.calibrated_cost())
        costs = self._costs()
        if not state.starts:
            state.values, state.starts = [[] for _ in costs], [[] for _ in costs]
        way = max(0.0, min(1.0, ((epoch + 1) / descent - FREE) / (ARRIVED - FREE)))
        self.follow(state.start * min(1.0, costs[-1] / state.start) ** way, descent)
        self._tuning = epoch >= descent
        if self._tuning:
            self._tune(epoch - descent)
        self.hold(self._tuning)

    @override
    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._tuning:
            super().on_train_batch_begin(batch, logs)
            return
        share = self._done + self._part * batch / (self.params["steps"] or 1)
        self._sync()
        self.model.optimizer.learning_rate = BETWEEN["cosine"](self._rate, 0.0, share)

    @override
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        self.first_price(float(logs.get("loss", 1.0)))
        logs["ebops_beta"] = self._price
        measured = self.front.measured
        if measured is None or self._tuning:
            return
        self.corrected(measured.metrics["ebops"], ebops(self.model))
        self._keep(measured.metrics)

    def adds_logs(self) -> tuple[str, ...]:
        """Return the name of the price."""
        return ("ebops_beta",)

    def get_state(self) -> dict[str, Any]:
        """Return what a resumed training continues with."""
        return asdict(self._state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue with this state."""
        self._state = _State(**state)

    def _costs(self) -> list[float]:
        if isinstance(self.costs, int):
            ends = self._state.start / FIRST, self._state.start / LAST
            return [float(each) for each in np.geomspace(*ends, self.costs)]
        return sorted(map(float, self.costs), reverse=True)

    def _keep(self, metrics: Any) -> None:
        """Keep the model of this epoch if it is the best so far of those between its cost and the next."""
        state, cost = self._state, metrics["ebops"]
        point = sum(cost <= each for each in self._costs()) - 1
        name = next(name for name in metrics if name != "ebops")
        value = [metrics[name] if self.front.front.directions[name] == "max" else -metrics[name]]
        # No number beats NaN, which would stay for good.
        if point >= 0 and math.isfinite(value[0]) and value >= state.values[point]:
            state.values[point], state.starts[point] = value, [value_of(each) for each in self.model.variables]

    def _tune(self, epoch: int) -> None:
        """Prepare an epoch of fine-tuning, the first of which starts from the model that was kept."""
        starts = [each for each in self._state.starts if each] or [[value_of(each) for each in self.model.variables]]
        ends = [self.tuning_epochs * (index + 1) // len(starts) for index in range(len(starts))]
        point = next(index for index, end in enumerate(ends) if epoch < end)
        begin = ends[point - 1] if point else 0
        if epoch == begin:
            assign(self.model.variables, starts[point])
            trim_bits(self.model)
        self._part = 1 / (ends[point] - begin)
        self._done = (epoch - begin) * self._part
