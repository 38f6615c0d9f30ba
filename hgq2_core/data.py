"""What a data set hands over: arrays for training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Args:
        x: inputs, shape `(samples, ...)`, float32.
        y: targets, shape `(samples, ...)`.
    """

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Splits:
    """The parts of a data set; `validation` is None where none was asked for."""

    train: Split
    test: Split
    validation: Split | None = None


class Dataset(Protocol):
    """A data set kind: a typed constructor, and this."""

    def load(self) -> Splits:
        """Read the data and split it, the same way for the same arguments."""
        ...
