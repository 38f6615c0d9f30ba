"""The inspection of a model: its quantizers, variables and weights by place, and the record of a run on data."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import keras
import numpy as np

from hgq2_core.data.batches import Batches
from hgq2_core.diagnosis.recording import Observation, Overflow, Values, as_array, count_not_finite, is_healthy
from hgq2_core.keras_graph.traversal import applications, layers_of
from hgq2_core.layers.base import QLayer
from hgq2_core.quantizers.base import Quantizer


class Place(NamedTuple):
    """A place in a model: a layer, and a slot in it; an empty layer stands for the model's inputs."""

    layer: str
    slot: str | None = None


@dataclass(frozen=True)
class Weight:
    """A quantized weight: its values, and the overflow of the unquantized values."""

    values: Values
    overflow: Overflow

    @property
    def zeros(self) -> int:
        """Number of values that are 0."""
        return int(np.sum(self.values == 0))


@dataclass(frozen=True)
class ModelInspection:
    """A model, its data, and the record of its run on them; properties are computed on first use.

    Args:
        model: any built Keras model.
        data: batches of inputs, or of inputs and targets.
        with_targets: whether the batches have targets.
        seen: the record of the run.
    """

    model: keras.Model
    data: Batches
    with_targets: bool
    seen: Observation

    @property
    def samples(self) -> int:
        """Number of samples that the model ran on."""
        return self.seen.samples

    @cached_property
    def layers(self) -> Mapping[str, Any]:
        """The layers and operations by path, without quantizers."""
        found = applications(self.model)
        return {item.path: item.layer for item in found if not isinstance(item.layer, Quantizer)}

    @cached_property
    def places(self) -> Mapping[Quantizer[Any], Place]:
        """The place of each quantizer, in a slot or in the graph itself, in the order of the graph."""
        places: dict[Quantizer[Any], Place] = {}
        for item in applications(self.model):
            if isinstance(item.layer, QLayer):
                places |= {quantizer: Place(item.path, quantizer.slot.name) for quantizer in item.layer.quantizers}
            elif isinstance(item.layer, Quantizer):  # a quantizer in a slot came earlier, with its layer
                places.setdefault(item.layer, Place(item.path))
        for layer in layers_of(self.model):  # layers that the graph does not apply
            if isinstance(layer, Quantizer):
                places.setdefault(layer, Place(layer.slot.layer, layer.slot.name))
        return places

    @cached_property
    def variables(self) -> Mapping[Place, list[keras.Variable]]:
        """The variables by the place of the innermost layer that owns them."""
        owners: dict[int, tuple[Place, keras.Variable]] = {}
        for item in applications(self.model):
            place = self.places.get(item.layer, Place(item.path))
            # An operation such as `x + 1` is not a layer.
            owners |= {id(variable): (place, variable) for variable in getattr(item.layer, "weights", ())}
        grouped: dict[Place, list[keras.Variable]] = {}
        for place, variable in owners.values():
            grouped.setdefault(place, []).append(variable)
        return grouped

    @cached_property
    def weights(self) -> Mapping[Quantizer[Any], Weight]:
        """The quantized weights; weights of a frozen layer are always within range."""
        weights = {}
        for layer in self.layers.values():
            if isinstance(layer, QLayer) and layer.built:
                seen = layer.inputs_of_quantizers()
                for name, constant in layer.constants().items():
                    quantizer, values, overflow = layer.slot_quantizer(name), as_array(constant), Overflow()
                    if not layer.frozen and is_healthy(quantizer):
                        overflow.add(quantizer, as_array(seen[name]), values)
                    weights[quantizer] = Weight(values, overflow)
        return weights

    @cached_property
    def overflows(self) -> Mapping[Quantizer[Any], Overflow]:
        """The overflow of each quantizer."""
        overflows = {quantizer: weight.overflow for quantizer, weight in self.weights.items()} | self.seen.overflows
        return {quantizer: overflows[quantizer] for quantizer in self.places if quantizer in overflows}

    @cached_property
    def finite(self) -> bool:
        """Whether all variables, inputs and outputs of layers are finite."""
        passed = any(each.inputs.not_finite or each.outputs.not_finite for each in self.seen.calls)
        variables = itertools.chain.from_iterable(self.variables.values())
        return not passed and not any(count_not_finite(as_array(variable)) for variable in variables)
