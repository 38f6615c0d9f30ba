"""The logic of each layer of a model, counted from its exact arithmetic before a circuit is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from hgq2_alkaid.cost.operations import Operations
from hgq2_core.errors import ExactnessError
from hgq2_core.exact.intervals import IntervalArray
from hgq2_core.exporting.graph import run
from hgq2_core.layers.adapters import exact
from hgq2_core.layers.states import CarriedStates


@dataclass(frozen=True)
class Logic:
    """The logic of one application of a layer.

    Args:
        path: its place in the model.
        layer: the layer.
        counts: by the kind of operation, see `Operations`; None where the layer states no exact arithmetic.
    """

    path: str
    layer: keras.layers.Layer
    counts: Mapping[str, float] | None


def logic_of(model: keras.Model) -> list[Logic]:
    """Return the logic of each layer, in the order of the graph.

    Args:
        model: functional or sequential, trainable or frozen; its activations need ranges.
    """
    operations = Operations()
    states: CarriedStates[IntervalArray] = CarriedStates(lambda shape: operations.raw((1, *(n or 1 for n in shape))))
    found: list[Logic] = []

    def apply(layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operations.counts = defaultdict(float)
        try:
            outputs = exact(operations, layer, path, args, kwargs, states)
        except (ExactnessError, NotImplementedError):
            found.append(Logic(path, layer, None))
            return keras.tree.map_structure(_unknown, layer.output)
        found.append(Logic(path, layer, {name: count for name, count in operations.counts.items() if count}))
        return outputs

    def _unknown(tensor: Any) -> IntervalArray:
        return operations.raw((1, *(size or 1 for size in tensor.shape[1:])))

    run(model, [_unknown(tensor) for tensor in model.inputs], apply)
    return found
