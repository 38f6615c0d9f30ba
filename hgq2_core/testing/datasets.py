"""The rules for data sets: their constructors, and that the same arguments give the same parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hgq2_core.data import Split, Splits
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.signature import schema_of
from hgq2_core.testing.protocols import PROTOCOLS
from hgq2_core.testing.rules import Check, checks, described, require, run, strict


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
    run(str(config["kind"]), dataset_checks(config))


def dataset_checks(config: Mapping[str, Any]) -> Iterator[Check]:
    """Return the checks of `check_dataset` one by one, for `parametrize_with_checks`.

    Args:
        config: see `check_dataset`.
    """
    arguments = dict(config)
    subject = _Subject(registry().load("datasets", arguments.pop("kind")), arguments)
    yield from checks((has_its_methods,), subject)
    yield from checks((is_strict, has_json_schema, loads), subject, after=has_its_methods.__name__)
    yield from checks(PART_RULES, subject, after=loads.__name__)


@dataclass(frozen=True)
class _Subject:
    cls: type[Any]
    arguments: Mapping[str, Any]

    def load(self) -> Splits:
        """Return the parts, loaded anew."""
        splits: Splits = self.cls(**self.arguments).load()
        return splits


def has_its_methods(subject: _Subject) -> None:
    """A data set defines load(), and types its constructor."""
    problem = PROTOCOLS["datasets"](subject.cls)
    require(not problem, f"{subject.cls.__name__} {problem}")


def is_strict(subject: _Subject) -> None:
    """A constructor takes no unknown argument, no text for a number, and no NaN."""
    strict(schema_of(subject.cls), subject.arguments)


def has_json_schema(subject: _Subject) -> None:
    """A constructor has a JSON schema with all its arguments."""
    described(schema_of(subject.cls))


def loads(subject: _Subject) -> None:
    """load() returns Splits, each part a Split that is not empty."""
    splits = subject.load()
    require(isinstance(splits, Splits), f"It gave a {type(splits).__name__}.")
    for name, part in splits.parts.items():
        require(isinstance(part, Split), f"{name} is a {type(part).__name__}.")
        require(len(part), f"{name} is empty.")


def pairs_inputs_and_targets(subject: _Subject) -> None:
    """Each part has as many targets as inputs."""
    for name, part in subject.load().parts.items():
        require(len(part.x) == len(part.y), f"{name}: {len(part.x)} inputs, {len(part.y)} targets.")


def is_finite_float32(subject: _Subject) -> None:
    """Inputs are finite float32 numbers."""
    for name, part in subject.load().parts.items():
        x = np.asarray(part.x)
        require(x.dtype == np.float32, f"{name}: they are {x.dtype}.")
        require(np.isfinite(x).all(), f"{name}: {np.count_nonzero(~np.isfinite(x))} are not finite.")


def agrees_in_shape(subject: _Subject) -> None:
    """Samples and targets have the same shape in each part."""
    shapes = {name: (np.shape(part.x)[1:], np.shape(part.y)[1:]) for name, part in subject.load().parts.items()}
    require(len(set(shapes.values())) == 1, f"Found: {', '.join(f'{name} {both}' for name, both in shapes.items())}.")


def repeats(subject: _Subject) -> None:
    """The same arguments give the same parts."""
    first, second = subject.load().parts, subject.load().parts
    require(first.keys() == second.keys(), f"{', '.join(first)} became {', '.join(second)}.")
    for name, part in first.items():
        same = np.array_equal(part.x, second[name].x) and np.array_equal(part.y, second[name].y)
        require(same, f"{name} differs when it is loaded again.")


PART_RULES = (pairs_inputs_and_targets, is_finite_float32, agrees_in_shape, repeats)
