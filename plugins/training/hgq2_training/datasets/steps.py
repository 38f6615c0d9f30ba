"""Inputs after the preprocessing that a config asks for, fitted on the training part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from hgq2_core.data.arrays import Rows, changed, chunks, leaves, named
from hgq2_core.data.columns import Columns
from hgq2_core.data.preprocessing import Clip, Log, Preprocessing, Step, stepped
from hgq2_core.data.splits import Splits
from hgq2_core.data.standardization import Standardization
from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.schema.base import FromList
from hgq2_training.datasets.missing import Missing, fill
from hgq2_training.datasets.splitting import Array

Limits = Annotated[tuple[float | None, float | None], FromList]
"""The smallest and the largest value, null for no limit."""


@dataclass(frozen=True)
class ArraySteps:
    """Preprocessing of inputs that are arrays.

    Args:
        standardize: whether to shift and scale to mean 0 and deviation 1.
        clip: limits of all inputs, or of each by name.
        log: whether to take the logarithm of all inputs, or the names of those.
    """

    standardize: bool
    clip: Limits | Mapping[str, Limits] | None
    log: bool | Sequence[str]

    def __post_init__(self) -> None:
        limits = self.clip.values() if isinstance(self.clip, Mapping) else [self.clip]
        for each in limits:
            if each is not None:
                check_limits(each)

    def applied(self, splits: Splits, notes: tuple[str, ...], classes: Any = None) -> Splits:
        """Return the parts with float32 inputs after these steps.

        Args:
            splits: with raw inputs.
            notes: see `Splits`.
            classes: texts of the labels.

        Raises:
            ConfigError: `clip` or `log` names no input.
        """
        x = named(splits.train.x, "")
        for what, names in (("clip", self.clip if isinstance(self.clip, Mapping) else ()), ("log", self.log)):
            for name in () if isinstance(names, bool) else names:
                if name not in x or not isinstance(splits.train.x, Mapping):
                    inputs = [each for each in x if each]
                    raise ConfigError(
                        f"`{what}` names inputs. Received: {name!r}. Allowed: {listing(inputs)}.{nearest(name, inputs)}"
                    )
        steps = {name: fitted(self._of(name), array, self.standardize) for name, array in x.items()}
        several = isinstance(splits.train.x, Mapping)
        ready = splits.preprocessed(steps if several else steps[""]).noted(notes, classes)
        if self.log:
            _read_through(ready)
        return ready

    def _of(self, name: str) -> list[Step]:
        clip = self.clip.get(name) if isinstance(self.clip, Mapping) else self.clip
        log = self.log if isinstance(self.log, bool) else name in self.log
        steps: list[Step] = []
        if clip is not None:
            steps.append(Clip(*as_bounds([clip], scalar=True)))
        if log:
            steps.append(Log(np.array(True)))
        return steps


@dataclass(frozen=True)
class TableSteps:
    """Preprocessing of columns of a table.

    Args:
        standardize: whether to shift and scale numbers to mean 0 and deviation 1.
        missing: treatment of missing cells.
        clip: limits of columns.
        log: columns of which to take the logarithm.
    """

    standardize: bool
    missing: Missing
    clip: Mapping[str, Limits]
    log: Sequence[str]

    def __post_init__(self) -> None:
        for name, limits in self.clip.items():
            check_limits(limits, f".{name}")

    def applied(self, splits: Splits, layouts: Any, notes: tuple[str, ...], classes: Any) -> Splits:
        """Return the parts with float32 inputs after these steps.

        Args:
            splits: with the elements of each input.
            layouts: the columns of the input, or of each by name.
            notes: see `Splits`.
            classes: texts of the labels.
        """
        x, own = named(splits.train.x, ""), named(layouts, "")
        steps = {name: self._of(array, own[name]) for name, array in x.items()}
        several = isinstance(splits.train.x, Mapping)
        with_columns = {name: (own[name], *each) for name, each in steps.items()}
        ready = splits.preprocessed(steps if several else steps[""])
        whole = Preprocessing(with_columns if several else with_columns[""])
        none = all(each is None for each in named(classes, "").values())
        return replace(ready, preprocessing=whole, notes=notes, classes=None if none else classes)

    def _of(self, x: Array, layout: Columns) -> tuple[Step, ...]:
        elements = layout.elements
        steps: list[Step] = []
        if self.missing == "mean":
            steps.append(fill(x, elements))
        if any(name in self.clip for name in elements):
            steps.append(Clip(*as_bounds([self.clip.get(name) for name in elements])))
        if any(name in self.log for name in elements):
            steps.append(Log(np.array([name in self.log for name in elements]), elements))
        return fitted(steps, x, self.standardize, elements, layout.numeric)


def fitted(
    steps: Sequence[Step], raw: Any, standardize: bool, features: tuple[str, ...] = (), numeric: Any = None
) -> tuple[Step, ...]:
    """Return steps, and a standardization that is fitted on what they make of the training part.

    Args:
        steps: the first steps.
        raw: inputs of the training part.
        standardize: whether to add a standardization.
        features: names of the elements of a sample.
        numeric: which of them to standardize; None for all.
    """
    if not standardize:
        return tuple(steps)
    found = Standardization.fit(changed(raw, lambda rows: stepped(steps, rows)), features)
    if numeric is not None and not numeric.all():
        found = Standardization(np.where(numeric, found.mean, 0.0), np.where(numeric, found.scale, 1.0), features)
    return (*steps, found)


def _read_through(splits: Splits) -> None:
    """Read all inputs that are in files, so that a value without a logarithm is found before the training."""
    for part in splits.parts.values():
        for array in leaves(part.x):
            if isinstance(array, Rows):
                for _ in chunks(array):
                    pass


def check_limits(limits: Limits, where: str = "") -> None:
    """Refuse limits that hold no interval.

    Args:
        limits: the smallest and the largest value; None for no limit.
        where: what they limit, for the message.

    Raises:
        ConfigError: there is no limit, or the smallest is not below the largest.
    """
    low, high = limits
    if (low is None and high is None) or (low is not None and high is not None and not low < high):
        raise ConfigError(
            f"`clip`{where} is the smallest and the largest value, one of which may be null. "
            f"Received: [{', '.join('null' if each is None else f'{each:g}' for each in limits)}]"
        )


def as_bounds(limits: Sequence[Limits | None], scalar: bool = False) -> tuple[Any, Any]:
    """Return limits as two arrays, infinite where there is none.

    Args:
        limits: one for each element of a sample.
        scalar: whether there is one for all elements.
    """
    low = [-np.inf if each is None or each[0] is None else each[0] for each in limits]
    high = [np.inf if each is None or each[1] is None else each[1] for each in limits]
    return (np.float64(low[0]), np.float64(high[0])) if scalar else (np.array(low), np.array(high))
