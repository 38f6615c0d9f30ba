"""How many steps a training has left."""

from __future__ import annotations

from typing import Any

import keras


class RemainingSteps(keras.callbacks.Callback):
    """Tells a training step that is compiled if that pays how many steps a `fit` has."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the epochs left, this one included."""
        payoff = getattr(self.model.train_function, "payoff", None)
        steps = self.params.get("steps")
        if payoff is not None and steps is not None:
            payoff.end = payoff.steps + (self.params["epochs"] - epoch) * steps
