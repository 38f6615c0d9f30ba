"""Bit-widths as variables: their bounds, and how they are told from other variables."""

from __future__ import annotations

import keras

from hgq2_core.ops import Tensor, clip


class Bounds(keras.constraints.Constraint):
    """Keep a bit variable within its bounds, both included."""

    def __init__(self, lower: float, upper: float) -> None:
        self.lower, self.upper = lower, upper

    def __call__(self, value: Tensor) -> Tensor:
        """Return the value within the bounds."""
        return clip(value, self.lower, self.upper)

    def get_config(self) -> dict[str, float]:
        """Return the bounds."""
        return {"lower": self.lower, "upper": self.upper}


def is_bit_variable(variable: keras.Variable) -> bool:
    """Return True if a variable holds bit-widths."""
    return bool(getattr(variable, "is_bit_width", False))


def has_room(variable: keras.Variable) -> bool:
    """Return True if the bounds of a bit variable leave it more than one value; anything else has room."""
    bounds = variable.constraint
    return not (isinstance(bounds, Bounds) and bounds.lower == bounds.upper)
