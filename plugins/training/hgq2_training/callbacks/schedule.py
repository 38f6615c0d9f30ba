"""The base of schedules: a value for each epoch, interpolated between points."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

import keras
from pydantic import Strict

from hgq2_core import layers_of
from hgq2_core.errors import ConfigError, nearest

Interpolation = Literal["linear", "log"]
# Files have lists in place of tuples; the numbers inside stay strict.
Point = Annotated[tuple[int, float], Strict(False)]


class PointSchedule(keras.callbacks.Callback):
    """Set variables of the model to a value for each epoch, interpolated between points and constant outside them.

    A subclass names the variables. The value of each epoch is added to its logs under the same name.

    Args:
        points: pairs `(epoch, value)` with increasing epochs.
        interpolation: `linear`, or `log` for a constant ratio from epoch to epoch.

    Raises:
        ConfigError: there are no points, epochs do not increase, a value is out of bounds, or is 0 with `log`.
    """

    variable = ""
    """Name of the attribute with the variable, and of the value in the logs."""

    word = ""
    """The word for a value in messages."""

    largest = math.inf
    """The largest allowed value."""

    missing = ""
    """What a model without such a variable lacks, for messages."""

    def __init__(self, points: list[Point], interpolation: Interpolation = "linear") -> None:
        super().__init__()
        if interpolation not in get_args(Interpolation):
            raise ConfigError(
                f"`interpolation` must be linear or log.{nearest(interpolation, get_args(Interpolation))} "
                f"Received: interpolation={interpolation!r}"
            )
        self.points = [self._point(point) for point in points]
        self.interpolation = interpolation
        epochs = [epoch for epoch, _ in self.points]
        if not epochs or any(a >= b for a, b in pairwise(epochs)):
            raise ConfigError(f"`points` must be pairs whose epochs increase, one at least. Received: points={points}")
        if interpolation == "log" and not all(value for _, value in self.points):
            raise ConfigError(
                f"A {self.word} of 0 has no logarithm: start from a small positive value, or use "
                f"interpolation='linear'. Received: points={points}"
            )

    def value(self, epoch: int) -> float:
        """Return the value of an epoch.

        Args:
            epoch: index of the epoch, from 0.

        Returns:
            The interpolated value, exact at the points.
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
        """Set the value of this epoch.

        Raises:
            ConfigError: the model has no such variable.
        """
        candidates = (getattr(layer, self.variable, None) for layer in layers_of(self.model))
        variables = [each for each in candidates if isinstance(each, keras.Variable)]
        if not variables:
            raise ConfigError(f"No layer of model {self.model.name!r} has {self.missing}")
        for each in variables:
            each.assign(self.value(epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the value of this epoch to its logs."""
        if logs is not None:
            logs[self.variable] = self.value(epoch)

    def adds_logs(self) -> tuple[str, ...]:
        """Return the name of the value."""
        return (self.variable,)

    def _point(self, received: Any) -> tuple[int, float]:
        """Return a point after checking it."""
        valid = (
            isinstance(received, list | tuple)
            and len(received) == 2
            and all(isinstance(number, int | float) and not isinstance(number, bool) for number in received)
            and isinstance(received[0], int)
            and received[0] >= 0
            and math.isfinite(received[1])
            and 0 <= received[1] <= self.largest
        )
        if not valid:
            bounds = "finite and not negative" if math.isinf(self.largest) else f"from 0 to {self.largest:g}"
            raise ConfigError(
                f"A point is a pair of an epoch, an integer from 0, and a {self.word}, {bounds}. Received: {received!r}"
            )
        return received[0], float(received[1])
