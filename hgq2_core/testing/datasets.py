"""The rules for data sets: their constructors, and that the same arguments give the same parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hgq2_core.data import Split, Splits
from hgq2_core.data.arrays import leaves
from hgq2_core.errors import listing
from hgq2_core.testing.constructors import Configured, has_json_schema, is_strict, migrates
from hgq2_core.testing.protocols import PROTOCOLS
from hgq2_core.testing.rules import Check, checks, require, run


def check_dataset(config: Mapping[str, Any]) -> None:
    """Check that a data set keeps the rules that training, reports and exporters rely on.

    Args:
        config: the data set as in a model file: its kind and its arguments; it is loaded twice.

    Raises:
        ConformanceError: a line for each rule that is broken.
        KindError: no installed plugin has the kind.

    Example:
        >>> check_dataset({"kind": "acme.rings", "samples": 50})
    """
    run(str(config.get("kind")), dataset_checks(config))


def dataset_checks(config: Mapping[str, Any]) -> Iterator[Check]:
    """Return the checks of `check_dataset` one by one, for `parametrize_with_checks`.

    Args:
        config: see `check_dataset`.
    """
    subject = Configured.of("datasets", config)
    yield from checks((has_its_methods,), subject)
    yield from checks((is_strict, has_json_schema, migrates, loads), subject, after=has_its_methods.__name__)
    yield from checks(PART_RULES, subject, after=loads.__name__)


def has_its_methods(subject: Configured) -> None:
    """A data set defines load(), and types its constructor."""
    problem = PROTOCOLS["datasets"](subject.cls)
    require(not problem, f"{subject.cls.__name__} {problem}")


def loads(subject: Configured) -> None:
    """load() returns Splits, each part a Split that is not empty."""
    splits = _loaded(subject)
    require(isinstance(splits, Splits), f"It gave a {type(splits).__name__}.")
    for name, part in splits.parts.items():
        require(isinstance(part, Split), f"{name} is a {type(part).__name__}.")
        others = [type(each).__name__ for each in _arrays(part) if not hasattr(each, "shape")]
        require(not others, f"{name} holds {listing({*others})} in place of arrays.")
        require(len(part), f"{name} is empty.")


def pairs_inputs_and_targets(subject: Configured) -> None:
    """Each part has as many targets, and sample weights if any, as inputs."""
    for name, part in _loaded(subject).parts.items():
        targets = [len(y) for y in leaves(part.y)]
        for x in leaves(part.x):
            require({len(x)} == {*targets}, f"{name}: {len(x)} inputs, {listing(map(str, {*targets}))} targets.")
        weights = [] if part.weight is None else [len(weight) for weight in leaves(part.weight)]
        require({*weights} <= {len(part)}, f"{name}: {len(part)} inputs, {listing(map(str, {*weights}))} weights.")


def is_finite_float32(subject: Configured) -> None:
    """Inputs are finite float32 numbers."""
    for name, part in _loaded(subject).parts.items():
        for x in map(np.asarray, leaves(part.x)):
            require(x.dtype == np.float32, f"{name}: they are {x.dtype}.")
            require(np.isfinite(x).all(), f"{name}: {np.count_nonzero(~np.isfinite(x))} are not finite.")


def has_finite_targets(subject: Configured) -> None:
    """Targets and weights are finite numbers, and no weight is below 0."""
    for name, part in _loaded(subject).parts.items():
        for y in map(np.asarray, leaves(part.y)):
            numbers = np.issubdtype(y.dtype, np.number) or y.dtype == bool
            require(numbers, f"{name}: targets are {y.dtype}.")
            require(np.isfinite(y).all(), f"{name}: {np.count_nonzero(~np.isfinite(y))} targets are not finite.")
        for weight in () if part.weight is None else map(np.asarray, leaves(part.weight)):
            wrong = np.count_nonzero(~(np.isfinite(weight) & (weight >= 0)))
            require(not wrong, f"{name}: {wrong} weights are below 0 or not finite.")


def agrees_in_shape(subject: Configured) -> None:
    """Samples and targets have the same shape in each part."""
    shapes = {
        name: (*(np.shape(x)[1:] for x in leaves(part.x)), *(np.shape(y)[1:] for y in leaves(part.y)))
        for name, part in _loaded(subject).parts.items()
    }
    require(len(set(shapes.values())) == 1, f"Found: {', '.join(f'{name} {both}' for name, both in shapes.items())}.")


def repeats(subject: Configured) -> None:
    """The same arguments give the same parts."""
    first, second = _loaded(subject).parts, _loaded(subject).parts
    require(first.keys() == second.keys(), f"{', '.join(first)} became {', '.join(second)}.")
    for name, part in first.items():
        pairs = zip(_arrays(part), _arrays(second[name]), strict=True)
        require(all(_same(*both) for both in pairs), f"{name} differs when it is loaded again.")


PART_RULES = (pairs_inputs_and_targets, is_finite_float32, has_finite_targets, agrees_in_shape, repeats)


def _arrays(part: Split) -> list[Any]:
    return [*leaves(part.x), *leaves(part.y)]


def _same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other, equal_nan=np.issubdtype(np.asarray(one).dtype, np.inexact))


def _loaded(subject: Configured) -> Splits:
    splits: Splits = subject.make().load()
    return splits
