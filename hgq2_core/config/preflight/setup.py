"""The data that the rules look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hgq2_core.config.model import Training
from hgq2_core.config.specs import METRICS, ObjectSpec
from hgq2_core.data.arrays import Rows, leaves
from hgq2_core.data.splits import Array, Splits
from hgq2_core.keras_graph.traversal import output_names
from hgq2_core.schema.keras_layers import snake
from hgq2_core.schema.keras_objects import class_by_name, is_of_keras

Finding = tuple[str, str]
"""A place in the config, and a message."""

MOST = 100_000
"""Number of targets that are looked at, if they are not in memory."""


@dataclass(frozen=True)
class Measure:
    """A loss or a metric.

    Args:
        place: its place in the config.
        spec: its spec in the config.
        cls: its class.
    """

    place: str
    spec: ObjectSpec
    cls: type

    @property
    def name(self) -> str:
        """Name of the class in snake case, whichever spelling the config uses; the kind of a plugin's class."""
        return snake(self.cls.__name__) if self.is_of_keras else self.spec.kind

    @property
    def is_of_keras(self) -> bool:
        """Whether it is Keras' own, of which the shapes of targets are known."""
        return is_of_keras(self.cls)


@dataclass(frozen=True)
class Setup:
    """A training to check, as far as one output of the model goes; the model fits the inputs of the data.

    Args:
        training: how to train.
        model: the model, compiled.
        splits: the data, in the order of the model.
        output: index of the output.
    """

    training: Training
    model: keras.Model
    splits: Splits
    output: int = 0

    @property
    def name(self) -> str:
        """Name of the output."""
        return output_names(self.model)[self.output]

    @property
    def loss(self) -> Measure:
        """The loss."""
        spec, place = self._own(self.training.loss, "training.loss")
        return Measure(place, spec, class_by_name("losses", spec.kind))

    @property
    def metrics(self) -> Iterator[Measure]:
        """The metrics, except those that Keras chooses by the loss."""
        specs, place = self._own(self.training.metrics, "training.metrics")
        for index, spec in enumerate(specs or ()):
            if spec.kind not in METRICS.strings:
                yield Measure(f"{place}.{index}", spec, class_by_name("metrics", spec.kind))

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Shape of the target of one sample."""
        return tuple(np.shape(self.of_output(self.splits.train.y))[1:])

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the output for one sample."""
        return tuple(self.model.outputs[self.output].shape[1:])

    @property
    def targets(self) -> list[Array]:
        """The targets of all parts; the first ones of those that are not in memory."""
        every = [self.of_output(part.y) for part in self.splits.parts.values()]
        return [np.asarray(y[:MOST] if isinstance(y, Rows) else y) for y in every]

    def of_output(self, arrays: Any) -> Any:
        """Return the array of the output."""
        return leaves(arrays)[self.output]

    def _own(self, value: Any, place: str) -> tuple[Any, str]:
        if isinstance(value, Mapping):
            return value.get(self.name), f"{place}.{self.name}"
        return value, place

    def range(self, ignored: Any = None) -> tuple[float, float]:
        """Return the smallest and the largest target of all parts, without a value that is ignored."""
        kept = [y if ignored is None else y[y != ignored] for y in self.targets]
        bounds = [(float(y.min()), float(y.max())) for y in kept if y.size]
        return (min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else (0.0, 0.0)

    def describe_targets(self) -> str:
        """Return a description of the targets: their range if they are labels, else their shape."""
        y = self.of_output(self.splits.train.y)
        if y.dtype.kind in "biu" and self.target_shape in ((), (1,)):
            return "integer labels from {:.0f} to {:.0f}".format(*self.range())
        return f"targets of shape {list(self.target_shape)}"


Rule = Callable[[Setup], Iterator[Finding]]


def agree(wanted: Sequence[int | None], received: Sequence[int | None]) -> bool:
    """Return True if two shapes are equal in all sizes that both know."""
    return len(wanted) == len(received) and all(
        a is None or b is None or a == b for a, b in zip(wanted, received, strict=True)
    )
