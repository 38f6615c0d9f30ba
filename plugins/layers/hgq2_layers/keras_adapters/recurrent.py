"""Exact arithmetic of Keras' loop over the steps of a sequence, through the cells inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ExactnessError, KerasAdapter
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.adapters import exact
from hgq2_layers.rnn.arithmetic import Exact

A = TypeVar("A")


class RNNAdapter(KerasAdapter):
    """A cell at every step of a sequence, each a separate circuit; what it costs, the cell counts itself."""

    exact_where = "not `stateful`"

    @override
    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse states that Keras keeps from batch to batch."""
        if layer.stateful:
            raise ExactnessError(
                f"{layer.name}: keras.layers.RNN keeps its states out of the exact arithmetic. Received: "
                "stateful=True. Use a layer in place of the cell, such as QLSTM(units, stateful=True)."
            )

    @override
    def sublayers(self, layer: keras.layers.Layer) -> Sequence[keras.layers.Layer]:
        return (layer.cell,)

    @override
    def rewrap(self, layer: keras.layers.Layer, sublayers: Sequence[keras.layers.Layer]) -> keras.layers.Layer:
        (cell,) = sublayers
        return keras.layers.RNN(
            cell,
            return_sequences=layer.return_sequences,
            return_state=layer.return_state,
            go_backwards=layer.go_backwards,
            stateful=layer.stateful,
            unroll=layer.unroll,
            zero_output_for_mask=layer.zero_output_for_mask,
            name=layer.name,
            trainable=layer.trainable,
            dtype=layer.dtype_policy,
        )

    @override
    def exact(
        self,
        arrays: Arrays[A],
        layer: keras.layers.Layer,
        *inputs: A,
        initial_state: Any = None,
        mask: A | None = None,
    ) -> Any:
        """Run the steps; where a mask is false, the states stay, and the output is 0 or that of the step before."""
        arithmetic: Exact[A] = Exact(arrays)
        x, given = inputs[0], [*inputs[1:], *(keras.tree.flatten(initial_state) if initial_state is not None else ())]
        sizes = list(keras.tree.flatten(layer.cell.state_size))
        states = given or [arithmetic.zeros(x, size) for size in sizes]
        where = f"{layer.name}/{layer.cell.name}"

        def step(parts: Sequence[A], before: Sequence[A]) -> Sequence[A]:
            result: Sequence[A] = keras.tree.flatten(exact(arrays, layer.cell, where, (parts[0], *before), {}))
            return result

        def masked(parts: Sequence[A], before: Sequence[A]) -> Sequence[A]:
            last = arithmetic.zero(x) if layer.zero_output_for_mask else before[0]
            after = step(parts, before[1:])
            pairs = zip(after, (last, *before[1:]), strict=True)
            return [arithmetic.select(parts[1], one, other) for one, other in pairs]

        def unmasked(parts: Sequence[A], before: Sequence[A]) -> Sequence[A]:
            return step(parts, before[1:])

        nothing = arithmetic.zeros(x, layer.cell.output_size if hasattr(layer.cell, "output_size") else sizes[0])
        result, (_, *states) = arithmetic.steps(
            unmasked if mask is None else masked,
            [x] if mask is None else [x, arithmetic.condition(mask)],
            [nothing, *states],
            layer.go_backwards,
            layer.return_sequences,
        )
        return (result, *states) if layer.return_state else result


class StackedRNNCellsAdapter(KerasAdapter):
    """Cells one after the other in each step; what they cost, they count themselves."""

    @override
    def sublayers(self, layer: keras.layers.Layer) -> Sequence[keras.layers.Layer]:
        return tuple(layer.cells)

    @override
    def rewrap(self, layer: keras.layers.Layer, sublayers: Sequence[keras.layers.Layer]) -> keras.layers.Layer:
        return keras.layers.StackedRNNCells(list(sublayers), name=layer.name, trainable=layer.trainable)

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> Any:
        """Run the cells, each with its own states."""
        x, *states = inputs
        after: list[A] = []
        for cell in layer.cells:
            count = len(keras.tree.flatten(cell.state_size))
            own, states = states[:count], states[count:]
            x, *kept = keras.tree.flatten(exact(arrays, cell, f"{layer.name}/{cell.name}", (x, *own), {}))
            after += kept
        return (x, *after)
