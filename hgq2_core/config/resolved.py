"""A config with every resolved setting written out, as a run directory keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from hgq2_core.config.graph import ModelSection
from hgq2_core.config.model import ModelConfig
from hgq2_core.config.nodes import ModelNode
from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.layers.base import QLayer
from hgq2_core.quantizers.defaults import BIT_LEARNING_RATE_SCALE


def resolved(config: ModelConfig, model: keras.Model) -> dict[str, Any]:
    """Return a config as plain data, with every quantizer slot, default and the learning rate of bits written out.

    Args:
        config: the config.
        model: the model built from it.
    """
    document = config.to_dict()
    _write_out(document["model"], config.model, model)
    if config.training is not None:
        scale = {"bit_learning_rate_scale": BIT_LEARNING_RATE_SCALE}
        document["training"]["optimizer"] = scale | config.training.optimizer.to_dict()
    return document


def _write_out(document: dict[str, Any], section: ModelSection, model: keras.Model) -> None:
    for entry, node, name in zip(document["layers"], section.layers, section.names, strict=True):
        entry["name"] = name
        if node.reuses is not None:
            continue
        layer = model.get_layer(name)
        if isinstance(node, ModelNode):
            _write_out(entry["model"], node.model, layer)
        elif isinstance(layer, QLayer):
            entry.update({key: _plain(value) for key, value in layer.get_config().items()})


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Yield the places in which two configs differ, with both values.

    Args:
        before: the former config, as plain data.
        after: the present config, as plain data.
        place: the place of both in the whole config.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from differences(before.get(key), after.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{place}.{index}")
    elif before != after:
        yield f"{place}: {_short(before)} before, {_short(after)} now"


def _short(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, list | Mapping) and value else repr(value)


PLACES = {"slot": "the layer", "scope": "defaults", "role": "the role", "class": "the class"}
"""The sources of a field's value, as shown to users."""


@dataclass(frozen=True)
class Provenance:
    """One field of one quantizer: its value and where it comes from."""

    layer: str
    slot: str
    kind: str
    field: str
    value: Any
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def provenance(model: keras.Model) -> list[Provenance]:
    """Return every field of every quantizer of a model that was just built, with its source.

    Args:
        model: built from a config; in a model loaded from a file, every source is the layer.
    """
    rows = []
    for layer in layers_of(model):
        if not isinstance(layer, QLayer):
            continue
        for quantizer in layer.quantizers:
            config = quantizer.config.to_dict()
            kind = config.pop("kind")
            sources = layer.sources(quantizer.slot.name)
            rows += [
                Provenance(layer.name, quantizer.slot.name, kind, field, value, PLACES[sources[field]])
                for field, value in config.items()
            ]
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        # Variables are float32: 1e-06, not 9.999999974752427e-07, where both are the same float32.
        short = float(str(np.float32(value)))
        return short if np.float32(short) == np.float32(value) == value else value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
