"""Exact arithmetic of Keras' wrappers, through the layers inside them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ExactnessError, KerasAdapter, ebops
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.adapters import exact
from hgq2_core.layers.states import kept_states

A = TypeVar("A")


class BidirectionalAdapter(KerasAdapter):
    """One layer from the beginning, one from the end; what they cost, they count themselves."""

    @override
    def sublayers(self, layer: keras.layers.Layer) -> Sequence[keras.layers.Layer]:
        return layer.forward_layer, layer.backward_layer

    @override
    def rewrap(self, layer: keras.layers.Layer, sublayers: Sequence[keras.layers.Layer]) -> keras.layers.Layer:
        forward, backward = sublayers
        return keras.layers.Bidirectional(
            forward, merge_mode=layer.merge_mode, backward_layer=backward, name=layer.name, trainable=layer.trainable
        )

    @override
    def exact(
        self,
        arrays: Arrays[A],
        layer: keras.layers.Layer,
        *inputs: A,
        initial_state: Sequence[A] = (),
        mask: A | None = None,
    ) -> Any:
        """Run both, each from its half of the states, turn the second's steps round, and merge them."""
        sequences, *states = *inputs, *initial_state
        half, kept = len(states) // 2, {"mask": mask}
        forward, backward = (
            keras.tree.flatten(exact(arrays, each, f"{layer.name}/{each.name}", (sequences, *part), kept))
            for each, part in ((layer.forward_layer, states[:half]), (layer.backward_layer, states[half:]))
        )
        first, last = forward[0], backward[0]
        if layer.return_sequences:
            last = arrays.gather(last, np.arange(arrays.shape(last)[1])[::-1], 1)
        merged = [first, last] if layer.merge_mode is None else [_merged(arrays, layer.merge_mode, first, last)]
        outputs = (*merged, *forward[1:], *backward[1:])
        return outputs if len(outputs) > 1 else outputs[0]


def _merged(arrays: Arrays[A], mode: str, first: A, last: A) -> A:
    if mode == "concat":
        return arrays.concatenate([first, last], axis=-1)
    if mode == "mul":
        return arrays.multiply(first, last)
    both = arrays.add(first, last)
    return arrays.shift(both, -1) if mode == "ave" else both


class TimeDistributedAdapter(KerasAdapter):
    """One layer at every step of a sequence, each a separate circuit."""

    exact_where = "nothing inside is stateful"

    @override
    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse layers that keep states, which would go from each step to the next one."""
        if kept_states(layer.layer):
            raise ExactnessError(
                f"{layer.name}: a stateful layer inside TimeDistributed goes on at each step where the step before "
                "ended. Leave stateful out."
            )

    @override
    def ebops(self, layer: keras.layers.Layer) -> float:
        """Return the cost of all steps but the one that the layer inside counts itself."""
        steps = layer.get_build_config()["input_shape"][1] if layer.built else 1
        return (steps - 1) * ebops(layer.layer) if steps else 0.0

    @override
    def sublayers(self, layer: keras.layers.Layer) -> Sequence[keras.layers.Layer]:
        """Return the layer that is applied at each step."""
        return (layer.layer,)

    @override
    def rewrap(self, layer: keras.layers.Layer, sublayers: Sequence[keras.layers.Layer]) -> keras.layers.Layer:
        (inner,) = sublayers
        return keras.layers.TimeDistributed(inner, name=layer.name, trainable=layer.trainable)

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A, mask: A | None = None) -> A:
        """Apply it to each step; the mask goes to a layer that takes one, and has no part in any other."""
        (x,) = inputs
        inner = layer.layer
        takes = "mask" in inspect.signature(inner.call).parameters

        def apply(step: int) -> A:
            kept = {"mask": arrays.gather(mask, step, 1)} if takes and mask is not None else {}
            result: A = exact(arrays, inner, f"{layer.name}/{inner.name}", (arrays.gather(x, step, 1),), kept)
            return result

        steps = list(map(apply, range(arrays.shape(x)[1])))
        batch, *rest = arrays.shape(steps[0])
        return arrays.concatenate([arrays.reshape(step, (batch, 1, *rest)) for step in steps], axis=1)
