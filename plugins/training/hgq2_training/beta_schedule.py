"""The weight of the EBOPs in the loss, epoch by epoch."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

import keras
from pydantic import Strict

from hgq2_core.errors import ConfigError, nearest
from hgq2_core.graph import layers_of

Interpolation = Literal["linear", "log"]
# A file has lists where Python has tuples; the numbers inside stay strict.
Point = Annotated[tuple[int, float], Strict(False)]


class BetaSchedule(keras.callbacks.Callback):
    """Set `ebops_beta` of every layer that has one, interpolated between points and constant outside them.

    The value of each epoch is added to its logs as `ebops_beta`.

    Args:
        points: pairs `(epoch, beta)`, the epochs increasing.
        interpolation: `linear`, or `log` for a constant ratio from epoch to epoch.

    Raises:
        ConfigError: no points, epochs that do not increase, a beta that is negative or not finite, or 0 with `log`.
    """

    def __init__(self, points: list[Point], interpolation: Interpolation = "linear") -> None:
        super().__init__()
        if interpolation not in get_args(Interpolation):
            raise ConfigError(
                f"`interpolation` must be linear or log.{nearest(interpolation, get_args(Interpolation))} "
                f"Received: interpolation={interpolation!r}"
            )
        self.points = [_point(point) for point in points]
        self.interpolation = interpolation
        epochs = [epoch for epoch, _ in self.points]
        if not epochs or any(a >= b for a, b in pairwise(epochs)):
            raise ConfigError(f"`points` must be pairs whose epochs increase, one at least. Received: points={points}")
        if interpolation == "log" and not all(beta for _, beta in self.points):
            raise ConfigError(
                "A beta of 0 has no logarithm: start from a small positive value, or use interpolation='linear'. "
                f"Received: points={points}"
            )

    def value(self, epoch: int) -> float:
        """Give the beta of an epoch.

        Args:
            epoch: counted from 0, as Keras does.

        Returns:
            The interpolated beta, exact at the points.
        """
        after = bisect_right(self.points, epoch, key=lambda point: point[0])
        if after in (0, len(self.points)):
            return self.points[max(after - 1, 0)][1]
        (start, low), (end, high) = self.points[after - 1 : after + 1]
        t = (epoch - start) / (end - start)
        if self.interpolation == "log":
            return float(low ** (1 - t) * high**t)
        return low * (1 - t) + high * t

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the beta of this epoch.

        Raises:
            ConfigError: no layer of the model has an `ebops_beta`.
        """
        candidates = (getattr(layer, "ebops_beta", None) for layer in layers_of(self.model))
        betas = [beta for beta in candidates if isinstance(beta, keras.Variable)]
        if not betas:
            raise ConfigError(
                f"No layer of model {self.model.name!r} has an `ebops_beta` to schedule: it has no quantized layers."
            )
        for beta in betas:
            beta.assign(self.value(epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the beta of this epoch to its logs."""
        if logs is not None:
            logs["ebops_beta"] = self.value(epoch)


def _point(received: Any) -> tuple[int, float]:
    """Check one point."""
    valid = (
        isinstance(received, list | tuple)
        and len(received) == 2
        and all(isinstance(number, int | float) and not isinstance(number, bool) for number in received)
        and isinstance(received[0], int)
        and received[0] >= 0
        and math.isfinite(received[1])
        and received[1] >= 0
    )
    if not valid:
        raise ConfigError(
            "A point is a pair of an epoch, an integer from 0, and a beta, finite and not negative. "
            f"Received: {received!r}"
        )
    return received[0], float(received[1])
