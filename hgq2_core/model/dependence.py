"""Which layers the range of a quantizer depends on: its own, and all before it in the graph."""

from __future__ import annotations

from typing import Any

import keras

from hgq2_core.keras_graph import private as _keras
from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.quantizers.base import Quantizer

Front = frozenset[keras.layers.Layer]
"""Layers as a graph applies them, sublayers included in their owners; a subclassed model counts as one layer."""


def fronts(model: keras.layers.Layer) -> dict[Quantizer[Any], list[Front]]:
    """Return, for each quantizer, the layers its range depends on: in the whole model, then in each model nested in it.

    Args:
        model: any built model. A subclassed one, whose graph is not known, depends on all of its variables.
    """
    fronts: dict[Quantizer[Any], list[Front]] = {}
    for each in [
        model,
        *(layer for layer in layers_of(model) if isinstance(layer, keras.Model) and layer is not model),
    ]:
        reached: dict[Quantizer[Any], Front] = {}
        graph = _keras.functional(each)
        if graph is not None:
            _walk(graph, frozenset(), reached)
        for layer in layers_of(each):
            if isinstance(layer, Quantizer):
                fronts.setdefault(layer, []).append(reached.get(layer, frozenset([each])))
    return fronts


def _walk(graph: keras.Model, before: Front, reached: dict[Quantizer[Any], Front]) -> Front:
    """Collect the fronts of the quantizers of a graph; return the layers that its outputs depend on.

    Args:
        graph: functional.
        before: the layers that its inputs depend on, all of them for each input.
        reached: receives the fronts; a layer that is applied again depends on what is before any application.
    """
    origins = {id(tensor): before for tensor in graph.inputs}
    for layer, inputs, outputs in _keras.nodes(graph):
        front = before.union(*(origins.get(id(tensor), before) for tensor in inputs))
        nested = _keras.functional(layer) if isinstance(layer, keras.Model) else None
        if nested is not None:
            front = _walk(nested, front, reached)
        elif isinstance(layer, keras.layers.Layer):  # an operation such as `x + 1` has no variables
            front |= {layer}
            for inner in layers_of(layer):
                if isinstance(inner, Quantizer):
                    reached[inner] = reached.get(inner, frozenset()) | front
        origins |= {id(tensor): front for tensor in outputs}
    return before.union(*(origins.get(id(tensor), before) for tensor in graph.outputs))
