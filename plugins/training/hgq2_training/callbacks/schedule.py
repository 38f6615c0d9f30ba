"""The base of schedules: a value for each epoch, interpolated between points."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import keras
from pydantic import Strict

from hgq2_core import layers_of
from hgq2_core.errors import ConfigError, listing, nearest

Interpolation = Literal["linear", "log", "constant", "cosine"]
Interpolations = Interpolation | list[Interpolation]
# Files have lists in place of tuples; the numbers inside stay strict.
Point = Annotated[tuple[int, float], Strict(False)]


BETWEEN: Mapping[str, Callable[[float, float, float], float]] = {
    "linear": lambda low, high, t: low * (1 - t) + high * t,
    "log": lambda low, high, t: float(low ** (1 - t) * high**t),
    "constant": lambda low, high, t: low,
    "cosine": lambda low, high, t: low + (high - low) * (1 - math.cos(math.pi * t)) / 2,
}
"""For each interpolation, the value at a share of the way from one point to the next."""


class PointSchedule(keras.callbacks.Callback):
    """Set variables of the model to a value for each epoch, interpolated between points and constant outside them.

    A subclass names the variables. The value of each epoch is added to its logs under the same name.

    Args:
        points: pairs `(epoch, value)` with increasing epochs.
        interpolation: `linear`; `log` for a constant ratio from epoch to epoch; `cosine`, level at both ends;
            `constant` keeps the value of the point before; or a list with one for each piece between two points.

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

    def __init__(self, points: list[Point], interpolation: Interpolations = "linear") -> None:
        super().__init__()
        self.points = [self._point(point) for point in points]
        self.interpolation = interpolation
        self._function: Callable[[int], float] | None = None
        self._current = 0.0
        epochs = [epoch for epoch, _ in self.points]
        if not epochs or any(a >= b for a, b in pairwise(epochs)):
            raise ConfigError(f"`points` must be pairs whose epochs increase, one at least. Received: points={points}")
        self._pieces = self._interpolations(interpolation)
        for name, ends in zip(self._pieces, pairwise(self.points), strict=True):
            if name == "log" and not all(value for _, value in ends):
                raise ConfigError(
                    f"A {self.word} of 0 has no logarithm: start from a small positive value, or use "
                    f"interpolation='linear'. Received: points={points}"
                )

    @classmethod
    def from_function(cls, function: Callable[[int], float]) -> Self:
        """Return a schedule by a function of Python; no config can rebuild a run that uses it.

        Args:
            function: takes the index of an epoch, from 0, and returns its value.

        Example:
            >>> train(config, "runs/mine", callbacks=[BetaSchedule.from_function(lambda epoch: 1e-7 * 1.1**epoch)])
        """
        schedule = cls([(0, 0.0)])
        schedule._function = function
        return schedule

    @property
    def not_in_config(self) -> str:
        """What of a run with this schedule a config cannot say; empty for a schedule by points."""
        return "" if self._function is None else f"{type(self).__name__} by a Python function"

    def value(self, epoch: int) -> float:
        """Return the value of an epoch.

        Args:
            epoch: index of the epoch, from 0.

        Returns:
            The interpolated value, exact at the points.
        """
        if self._function is not None:
            return self._point((epoch, float(self._function(epoch))))[1]
        after = bisect_right(self.points, epoch, key=lambda point: point[0])
        if after in (0, len(self.points)):
            return self.points[max(after - 1, 0)][1]
        (start, low), (end, high) = self.points[after - 1 : after + 1]
        return BETWEEN[self._pieces[after - 1]](low, high, (epoch - start) / (end - start))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the value of this epoch.

        Raises:
            ConfigError: the model has no such variable.
        """
        candidates = (getattr(layer, self.variable, None) for layer in layers_of(self.model))
        variables = [each for each in candidates if isinstance(each, keras.Variable)]
        if not variables:
            raise ConfigError(f"No layer of model {self.model.name!r} has {self.missing}")
        self._current = self.value(epoch)
        for each in variables:
            each.assign(self._current)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the value of this epoch to its logs."""
        if logs is not None:
            logs[self.variable] = self._current

    def adds_logs(self) -> tuple[str, ...]:
        """Return the name of the value."""
        return (self.variable,)

    def _interpolations(self, received: Interpolations) -> list[Interpolation]:
        """Return the interpolation of each piece after checking them."""
        pieces = len(self.points) - 1
        names = [received] * pieces if isinstance(received, str) else list(received)
        for name in [received] if isinstance(received, str) else names:
            if name not in BETWEEN:
                raise ConfigError(
                    f"`interpolation` must be one of {listing(BETWEEN)}.{nearest(name, BETWEEN)} "
                    f"Received: interpolation={name!r}"
                )
        if len(names) != pieces:
            raise ConfigError(
                f"`interpolation` names one for each piece between two points: {pieces} here. Received: {len(names)}."
            )
        return names

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
