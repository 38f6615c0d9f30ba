"""The rules for adapters of Keras' own layers: that integers repeat what Keras computes, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hgq2_core.discovery.loading import KERAS
from hgq2_core.discovery.registry import registry
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.layers.adapters import KerasAdapter, adapter_of, statement_of
from hgq2_core.testing.protocols import PROTOCOLS
from hgq2_core.testing.rules import Check, Floats, checks, differing, numpy, require, run, samples

SAMPLES = 100
STEP = 0.125
"""Inputs are multiples of it, as those of a quantizer are of its step."""

Shape = tuple[int, ...]


def check_adapter(layer: keras.layers.Layer, input_shape: Shape | list[Shape]) -> None:
    """Check that the adapter of a Keras layer keeps the rules that verification, cost and exporters rely on.

    Args:
        layer: a layer of Keras, not built, whose arguments the adapter admits.
        input_shape: of one sample; a list of shapes for a layer that takes a list of inputs.

    Raises:
        ConformanceError: a line for each rule that is broken.
        KindError: no installed plugin adapts the layer's class.

    Example:
        >>> check_adapter(keras.layers.Average(), [(4,), (4,)])
    """
    run(f"{KERAS}.{type(layer).__name__}", adapter_checks(layer, input_shape))


def adapter_checks(layer: keras.layers.Layer, input_shape: Shape | list[Shape]) -> Iterator[Check]:
    """Return the checks of `check_adapter` one by one, for `parametrize_with_checks`.

    Args:
        layer: see `check_adapter`.
        input_shape: see `check_adapter`.
    """
    subject = _Subject(registry().load("layers", f"{KERAS}.{type(layer).__name__}"), layer, input_shape)
    yield from checks((has_its_methods,), subject)
    yield from checks((admits, costs), subject, after=has_its_methods.__name__)
    yield from checks((is_exact,), subject, after=admits.__name__)


@dataclass(frozen=True)
class _Subject:
    cls: type[Any]
    layer: keras.layers.Layer
    input_shape: Shape | list[Shape]

    def applied(self) -> tuple[KerasAdapter, list[Floats], Any]:
        """Return the adapter, inputs, and what the layer computes of them."""
        several = isinstance(self.input_shape, list)
        shapes = self.input_shape if isinstance(self.input_shape, list) else [self.input_shape]
        inputs = [np.round(samples(SAMPLES, *shape) / STEP).astype(np.float32) * np.float32(STEP) for shape in shapes]
        symbols = [keras.Input(shape) for shape in shapes]
        model = keras.Model(symbols, self.layer(symbols if several else symbols[0]))
        found = adapter_of(self.layer)
        require(found is not None, f"{type(self.layer).__name__} is not the class of Keras that it is named after.")
        return self.cls(), inputs, model(inputs, training=False)


def has_its_methods(subject: _Subject) -> None:
    """An adapter is a KerasAdapter that defines exact(), and is made without arguments."""
    problem = PROTOCOLS["adapters"](subject.cls)
    require(not problem, f"{subject.cls.__name__} {problem}")
    subject.cls()


def admits(subject: _Subject) -> None:
    """check() admits the layer."""
    adapter, _, _ = subject.applied()
    adapter.check(subject.layer)


def costs(subject: _Subject) -> None:
    """ebops() is one finite number, never below 0."""
    adapter, _, _ = subject.applied()
    cost = numpy(adapter.ebops(subject.layer))
    require(cost.shape == (), f"Its shape is {cost.shape}.")
    require(np.isfinite(cost) and cost >= 0, f"It is {cost:g}.")


def is_exact(subject: _Subject) -> None:
    """exact() gives, on integers, what Keras computes."""
    _, inputs, outputs = subject.applied()
    found = statement_of(subject.layer, subject.layer.name, {})(Integers(), *map(from_float, inputs))
    results = found if isinstance(found, list | tuple) else [found]
    for got, wanted in zip(results, keras.tree.flatten(outputs), strict=True):
        difference = differing(to_float(got).astype(np.float32), numpy(wanted))
        require(not difference, difference)
