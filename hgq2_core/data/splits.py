"""The parts of a data set: arrays for training, validation and test."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hgq2_core.data.standardization import Standardization
from hgq2_core.discovery.abstract import Abstract

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
    """The parts of a data set.

    Args:
        train: for training and calibration.
        test: for measuring and verification.
        validation: for choosing between models; None if the data set has no such part.
        standardization: the standardization of the inputs, to apply to new data; None if they are not standardized.
        notes: what users should know of the data, a sentence each, such as what was left out.
    """

    train: Split
    test: Split
    validation: Split | None = None
    standardization: Standardization | None = None
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, Split]:
        """The parts by name, without a missing one."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    def standardized(self, features: tuple[str, ...] = ()) -> Splits:
        """Return the parts with float32 inputs, standardized by mean and deviation of the training part.

        Args:
            features: names of the inputs, in order, to keep with the numbers.
        """
        by = Standardization.fit(self.train.x, features)
        return replace(
            self,
            train=Split(by(self.train.x), self.train.y),
            test=Split(by(self.test.x), self.test.y),
            validation=None if self.validation is None else Split(by(self.validation.x), self.validation.y),
            standardization=by,
        )

    @property
    def labels(self) -> tuple[int, int] | None:
        """The smallest and the largest label of all parts; None if targets are not one integer per sample."""
        targets = [np.asarray(part.y) for part in self.parts.values() if len(part)]
        if any(y.dtype.kind not in "biu" or y.size != len(y) for y in targets):
            return None
        return min(int(y.min()) for y in targets), max(int(y.max()) for y in targets)

    def describe(self) -> str:
        """Return a summary on one line."""
        samples = ", ".join(f"{len(part)} {name}" for name, part in self.parts.items())
        targets = (
            f"targets {list(np.shape(self.train.y)[1:])}"
            if self.labels is None
            else "labels from {} to {}".format(*self.labels)
        )
        standardized = "" if self.standardization is None else ", standardized"
        return f"{samples} samples; inputs {list(np.shape(self.train.x)[1:])}{standardized}, {targets}."

    def to_dict(self) -> dict[str, Any]:
        """Return a description as plain data: numbers of samples, shapes, labels, notes, standardization."""
        return {
            "samples": {name: len(part) for name, part in self.parts.items()},
            "input_shape": list(np.shape(self.train.x)[1:]),
            "target_shape": list(np.shape(self.train.y)[1:]),
            "labels": None if self.labels is None else list(self.labels),
            "notes": list(self.notes),
            "standardization": None if self.standardization is None else self.standardization.to_dict(),
        }


class Dataset(Abstract):
    """Base of the data sets.

    A plugin names a subclass in `hgq2_datasets`. It must have a typed constructor, from which its schema is made, and
    define `load`. docs/extending/dataset.md has the complete files of a plugin. A class with the same method and
    another base serves as well.

    Raises:
        IncompleteError: when it is instantiated, a subclass without `load`.
    """

    guide = "dataset"

    @abstractmethod
    def load(self) -> Splits:
        """Read the data and split them, in the same way for the same arguments.

        `Splits(...).standardized()` standardizes the inputs, and keeps the numbers in the result.
        """
