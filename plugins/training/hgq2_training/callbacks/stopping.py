"""Ends of a training before its last epoch: conditions on the logs, and early stopping among cheap models only."""

from __future__ import annotations

from typing import Any, Literal

import keras
from pydantic import NonNegativeInt, TypeAdapter

from hgq2_core.schema.base import as_config_error
from hgq2_core.schema.condition import Condition, Conditions, StopCondition, StopConditions
from hgq2_training.callbacks.checkpoint import KERAS_STATE
from hgq2_training.callbacks.front import direction_of


class StopIf(keras.callbacks.Callback):
    """Stop a training once every condition has held for its number of epochs in a row.

    `hgq2 train` adds this callback for `training.stop_if`.

    Args:
        conditions: one or more.

    Example:
        >>> model.fit(x, y, epochs=100, callbacks=[EbopsLog(), StopIf({"metric": "ebops", "below": 5000})])
    """

    def __init__(self, conditions: StopConditions) -> None:
        super().__init__()
        self.conditions: tuple[StopCondition, ...] = _checked(StopConditions, conditions)
        self._epochs = [0] * len(self.conditions)
        self.reason = ""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the epochs in which each condition held, and stop if all have held long enough."""
        for index, condition in enumerate(self.conditions):
            self._epochs[index] = self._epochs[index] + 1 if condition.holds(logs or {}) else 0
        if all(count >= each.for_epochs for count, each in zip(self._epochs, self.conditions, strict=True)):
            self.model.stop_training = True
            self.reason = f"after epoch {epoch + 1}: {' and '.join(map(str, self.conditions))}"

    def reads_logs(self) -> tuple[str, ...]:
        """Return the names of the metrics."""
        return tuple(each.metric for each in self.conditions)

    def adds_logs(self) -> tuple[str, ...]:
        """Return no names."""
        return ()

    def get_state(self) -> dict[str, Any]:
        """Return the counts, and why the training was stopped."""
        return {"epochs": list(self._epochs), "reason": self.reason}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue with these counts."""
        self._epochs, self.reason = list(state["epochs"]), state["reason"]


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras' early stopping, restricted to the epochs in which conditions hold, such as a cost below a limit.

    While bits are still being saved, accuracy falls, and early stopping would stop too soon and restore a model that is
    too expensive. An epoch in which a condition does not hold counts neither as better nor as waiting.

    Args:
        when: a condition, such as `{metric: ebops, below: 5000}`, or a list of conditions that must all hold.
        monitor: name of a value in the logs.
        min_delta: smallest change that counts as better.
        patience: epochs without a better value after which training stops.
        mode: whether the value is to be small or large; `auto` tells by its name.
        baseline: value that must be reached at all; None for none.
        restore_best_weights: whether to restore the model of the best epoch when training ends.
        start_from_epoch: the first epoch to look at.
    """

    def __init__(
        self,
        when: Conditions,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: NonNegativeInt = 10,
        mode: Literal["auto", "min", "max"] = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = True,
        start_from_epoch: NonNegativeInt = 0,
    ) -> None:
        super().__init__(
            monitor=monitor,
            min_delta=min_delta,
            patience=patience,
            # Keras' own guess fails for names that it does not know, and only once training has begun.
            mode=direction_of(monitor) if mode == "auto" else mode,
            baseline=baseline,
            restore_best_weights=restore_best_weights,
            start_from_epoch=start_from_epoch,
        )
        self.when: tuple[Condition, ...] = _checked(Conditions, when)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Take this epoch into account if the conditions hold."""
        if all(each.holds(logs or {}) for each in self.when):
            super().on_epoch_end(epoch, logs)

    def reads_logs(self) -> tuple[str, ...]:
        """Return the monitored name, and those of the conditions."""
        return (self.monitor, *(each.metric for each in self.when))

    def adds_logs(self) -> tuple[str, ...]:
        """Return no names."""
        return ()

    def get_state(self) -> dict[str, Any]:
        """Return what a resumed training continues with."""
        return {name: getattr(self, name, None) for name in KERAS_STATE[keras.callbacks.EarlyStopping]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue with this state."""
        for name, value in state.items():
            setattr(self, name, value)


def _checked(annotation: Any, given: Any) -> Any:
    with as_config_error("conditions"):
        return TypeAdapter(annotation).validate_python(given)
