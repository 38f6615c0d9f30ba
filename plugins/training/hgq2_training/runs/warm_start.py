"""Weights and bits of an earlier run as the start of a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hgq2_core import QLayer, fit_ranges, layers_of
from hgq2_core.errors import ConfigError
from hgq2_core.quantizers.bit_variables import is_bit_variable
from hgq2_training.callbacks.values import value_of

PRICE = "ebops_beta"
"""The variable that a new run sets itself."""


@dataclass(frozen=True)
class WarmStart:
    """What a new model has taken from an earlier one.

    Args:
        taken: number of variables taken.
        left: for each layer with others, which are as drawn and why.
    """

    taken: int
    left: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"taken": self.taken, "left": dict(self.left)}


def start_from(model: keras.Model, source: keras.Model, x: Any) -> WarmStart:
    """Give a new model the weights and bits of another one, by the names of layers, and fit its other ranges.

    Bits are taken where a quantizer is of the same kind. Where the new config gives a field another value, such as a
    smaller `b`, the smaller of that and the trained value is taken, element by element.

    Args:
        model: a model just built from a config; changed in place.
        source: the model of the earlier run.
        x: training inputs.

    Returns:
        What was taken, and what was left.

    Raises:
        ConfigError: no weight fits.
    """
    values = dict(_values(model, source))
    if not any(not is_bit_variable(each) for each in _by_path(model).values() if each.path in values):
        here, there = (", ".join(layer.name for layer in each.layers if layer.weights) for each in (model, source))
        raise ConfigError(
            f"init_from: no layer of the run has the name and shape of one of the model. Received: {there}. "
            f"Allowed: layers such as {here}."
        )
    _assign(model, values)
    fit_ranges(model, x)  # those of new layers, which depend on the weights; the ranges of the run are put back
    _assign(model, values)
    return WarmStart(len(values), dict(_left(model, source, values)))


def _values(model: keras.Model, source: keras.Model) -> Iterator[tuple[str, Any]]:
    found, before, after = _by_path(source), _fields(source), _fields(model)
    for path, variable in _by_path(model).items():
        trained = found.get(path)
        if trained is None or tuple(trained.shape) != tuple(variable.shape):
            continue
        value = value_of(trained)
        slot, _, field = path.rpartition("/")
        if slot in after:
            old, new = before.get(slot, {}), after[slot]
            if old.get("kind") != new["kind"]:
                continue
            if is_bit_variable(variable) and old.get(field) != new.get(field):
                value = np.minimum(value, value_of(variable))
        yield path, value


def _by_path(model: keras.Model) -> dict[str, keras.Variable]:
    """Return the weights and bits by path: not prices, seeds and records of calibration."""
    return {
        each.path: each
        for each in model.variables
        if each.path.rpartition("/")[2] != PRICE and "float" in str(each.dtype)
    }


def _fields(model: keras.Model) -> dict[str, dict[str, Any]]:
    """Return the config of each quantizer by the path of its variables."""
    return {
        variable.path.rpartition("/")[0]: quantizer.config.to_dict()
        for layer in layers_of(model)
        if isinstance(layer, QLayer)
        for quantizer in layer.quantizers
        for variable in quantizer.variables
        if is_bit_variable(variable)
    }


def _assign(model: keras.Model, values: Mapping[str, Any]) -> None:
    for path, variable in _by_path(model).items():
        if path in values:
            variable.assign(values[path])


def _left(model: keras.Model, source: keras.Model, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = _by_path(source)
    names: dict[str, list[str]] = {}
    for path in _by_path(model):
        if path not in values:
            layer, _, name = path.partition("/")
            names.setdefault(layer, []).append(name)
    for layer, left in names.items():
        if not any(path.startswith(f"{layer}/") for path in found):
            yield layer, "is not in the run"
        else:
            yield layer, f"has another shape or kind in {', '.join(left)}"
