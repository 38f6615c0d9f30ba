"""The parts of a data set: arrays for training, validation and test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hgq2_core.data.arrays import Arrays, Rows, changed, in_memory, leaves, mapped, take
from hgq2_core.data.preprocessing import Preprocessing, as_change, standardizations
from hgq2_core.data.standardization import Standardization
from hgq2_core.discovery.abstract import Abstract

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Args:
        x: inputs, shape `(samples, ...)`, float32; a mapping by the names of the model's inputs if it has several.
        y: targets, shape `(samples, ...)`; a mapping by the names of the model's outputs if there are several.
        weight: weight of each sample in the loss, shape `(samples,)`; a mapping by the names of outputs if they
            differ; None if all are 1.
    """

    x: Arrays
    y: Arrays
    weight: Arrays = None

    def __len__(self) -> int:
        return len(leaves(self.x)[0])

    def take(self, chosen: NDArray[np.intp]) -> Split:
        """Return some of the samples; in the order of the file if they are not in memory."""
        if not (in_memory(self.x) and in_memory(self.y)):
            chosen = np.sort(chosen)
        return self._each(lambda array: take(array, chosen))

    def head(self, samples: int | None) -> Split:
        """Return the first samples, read into memory; all of them for None."""
        return self._each(lambda array: array[:samples])

    def _each(self, change: Callable[[Any], Any]) -> Split:
        weight = None if self.weight is None else mapped(change, self.weight)
        return Split(mapped(change, self.x), mapped(change, self.y), weight)


@dataclass(frozen=True)
class Splits:
    """The parts of a data set.

    Args:
        train: for training and calibration.
        test: for measuring and verification.
        validation: for choosing between models; None if the data set has no such part.
        standardization: the standardization of the inputs, to apply to new data; None if they are not standardized; a
            mapping by the names of inputs if there are several.
        notes: what users should know of the data, a sentence each, such as what was left out.
        preprocessing: the whole map from raw data to inputs, of which the standardization is a step; None if the
            inputs are raw data.
        classes: texts of the labels 0, 1, ...; a mapping by the names of outputs if there are several; None if the
            labels have no texts.
    """

    train: Split
    test: Split
    validation: Split | None = None
    standardization: Any = None
    notes: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    classes: Any = None

    @property
    def parts(self) -> dict[str, Split]:
        """The parts by name, without a missing one."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    def each(self, change: Callable[[Split], Split], **more: Any) -> Splits:
        """Return the parts after a change of each.

        Args:
            change: takes and returns a part.
            more: other fields to replace.
        """
        validation = None if self.validation is None else change(self.validation)
        return replace(self, train=change(self.train), test=change(self.test), validation=validation, **more)

    def standardized(self, features: tuple[str, ...] = ()) -> Splits:
        """Return the parts with float32 inputs, standardized by mean and deviation of the training part.

        Args:
            features: names of the elements of the only input, in order, to keep with the numbers.
        """
        steps = mapped(lambda array: (Standardization.fit(array, features),), self.train.x)
        return self.preprocessed(steps)

    def preprocessed(self, steps: Any) -> Splits:
        """Return the parts with float32 inputs after some steps.

        Args:
            steps: of the input, in order; or of each input by name.
        """

        def change(part: Split) -> Split:
            x = mapped(lambda array, own: changed(array, as_change(own)), part.x, steps)
            return replace(part, x=x)

        found = standardizations(steps)
        none = all(each is None for each in leaves(found))
        changes = any(steps.values()) if isinstance(steps, Mapping) else bool(steps)
        preprocessing = Preprocessing(steps) if changes else None
        return self.each(change, standardization=None if none else found, preprocessing=preprocessing)

    def noted(self, notes: tuple[str, ...], classes: Any = None) -> Splits:
        """Return the parts with notes, and texts of the labels."""
        return replace(self, notes=notes, classes=classes)

    @property
    def labels(self) -> Any:
        """The smallest and the largest label of all parts, a mapping by output if there are several.

        None if targets are not one integer per sample.
        """
        names = self.train.y if isinstance(self.train.y, Mapping) else None
        if names is None:
            return _labels([part.y for part in self.parts.values() if len(part)])
        return {name: _labels([part.y[name] for part in self.parts.values() if len(part)]) for name in names}

    def describe(self) -> str:
        """Return a summary on one line."""
        samples = ", ".join(f"{len(part)} {name}" for name, part in self.parts.items())
        standardized = "" if self.standardization is None else ", standardized"
        weighted = "" if self.train.weight is None else ", weighted"
        inputs = _listed(mapped(_shape, self.train.x))
        targets = _listed(mapped(_target, self.train.y, self.labels))
        return f"{samples} samples; inputs {inputs}{standardized}, {targets}{weighted}."

    def to_dict(self) -> dict[str, Any]:
        """Return a description as plain data: numbers of samples, shapes, labels, notes, preprocessing."""
        return {
            "samples": {name: len(part) for name, part in self.parts.items()},
            "input_shape": mapped(_shape, self.train.x),
            "target_shape": mapped(_shape, self.train.y),
            "labels": mapped(lambda _, labels: None if labels is None else list(labels), self.train.y, self.labels),
            "notes": list(self.notes),
            "standardization": _to_dict(self.standardization),
            **({} if self.preprocessing is None else {"preprocessing": self.preprocessing.to_dict()}),
            **({} if self.classes is None else {"classes": _texts(self.classes)}),
        }


def _labels(targets: list[Any]) -> tuple[int, int] | None:
    if any(isinstance(y, Rows) for y in targets):
        return None
    arrays = list(map(np.asarray, targets))
    if any(y.dtype.kind not in "biu" or y.size != len(y) for y in arrays):
        return None
    return min(int(y.min()) for y in arrays), max(int(y.max()) for y in arrays)


def _shape(array: Any) -> list[int]:
    return list(np.shape(array)[1:])


def _target(y: Any, labels: tuple[int, int] | None) -> str:
    return f"targets {_shape(y)}" if labels is None else "labels from {} to {}".format(*labels)


def _listed(found: Any) -> str:
    if isinstance(found, Mapping):
        return ", ".join(f"{name} {each}" for name, each in found.items())
    return str(found)


def _to_dict(standardization: Any) -> Any:
    if isinstance(standardization, Mapping):
        return {name: None if own is None else own.to_dict() for name, own in standardization.items()}
    return None if standardization is None else standardization.to_dict()


def _texts(classes: Any) -> Any:
    if isinstance(classes, Mapping):
        return {name: None if own is None else list(own) for name, own in classes.items()}
    return list(classes)


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
