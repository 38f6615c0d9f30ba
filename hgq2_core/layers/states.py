"""States that a layer keeps from call to call: variables of Keras, and operands of exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import keras

from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.ops import Tensor

A = TypeVar("A")
Shape = tuple[int, ...]


class KeptStates(keras.layers.Layer):
    """The states that a layer keeps, such as a stateful recurrent one.

    Its variables change in every call. They are no weights: files, frozen forms and records leave them out, so a model
    that is loaded begins at 0.
    """

    def __init__(self) -> None:
        super().__init__(trainable=False, name="kept_states")
        self.shapes: list[Shape] = []

    def build(self, shapes: Sequence[Shape]) -> None:
        """Add a variable for each state, which begins at 0.

        Args:
            shapes: of the states, with a static batch.
        """
        self.shapes = [tuple(shape) for shape in shapes]
        for number, shape in enumerate(shapes):
            self.add_weight(name=f"state_{number}", shape=shape, initializer="zeros", trainable=False)
        self.built = True

    @property
    def weights(self) -> list[Any]:
        """None: what a layer keeps from call to call is not what it has learned."""
        return []

    @property
    def non_trainable_weights(self) -> list[Any]:
        """None, see `weights`."""
        return []

    def save_own_variables(self, store: Any) -> None:
        """Save nothing."""

    def load_own_variables(self, store: Any) -> None:
        """Load nothing."""

    def read(self) -> list[Tensor]:
        """Return copies of the states, which `keep` leaves unchanged."""
        return [keras.ops.copy(keras.ops.convert_to_tensor(variable)) for variable in self.variables]

    def keep(self, states: Iterable[Any]) -> None:
        """Set the states; no gradient goes from one call to the one before."""
        for variable, state in zip(self.variables, states, strict=True):
            variable.assign(keras.ops.stop_gradient(keras.ops.convert_to_tensor(state)))

    def reset(self) -> None:
        """Set the states to 0."""
        self.keep(keras.ops.zeros(shape) for shape in self.shapes)


class CarriedStates(Generic[A]):
    """Operands for the states of the layers of a model, carried from one interpretation of it to the next.

    Args:
        start: makes the operand of a state before the first interpretation, of its shape without the batch.
    """

    def __init__(self, start: Callable[[Shape], A]) -> None:
        self.start = start
        self.of_layers: dict[str, list[A]] = {}

    def before(self, path: str, kept: KeptStates) -> list[A]:
        """Return the states with which a layer begins.

        Args:
            path: the layer's place in the model.
            kept: its states.
        """
        if path not in self.of_layers:
            self.of_layers[path] = [self.start(shape[1:]) for shape in kept.shapes]
        return self.of_layers[path]

    def flat(self) -> list[A]:
        """Return the states of all layers, in the order of the graph."""
        return [state for states in self.of_layers.values() for state in states]


def kept_states(model: keras.layers.Layer) -> list[KeptStates]:
    """Return the states that the layers of a model keep."""
    return [layer for layer in layers_of(model) if isinstance(layer, KeptStates) and layer.built]


def reset_states(model: keras.layers.Layer) -> None:
    """Set the states that the layers of a model keep from call to call to 0.

    Args:
        model: with stateful layers, or without any.
    """
    for each in kept_states(model):
        each.reset()


@contextmanager
def preserve_states(*models: keras.layers.Layer, anew: bool = False) -> Iterator[None]:
    """Restore the states of models at the end.

    Args:
        models: with stateful layers, or without any.
        anew: whether they begin at 0 inside.
    """
    before = [(kept, kept.read()) for model in models for kept in kept_states(model)]
    try:
        for kept, _ in before if anew else ():
            kept.reset()
        yield
    finally:
        for kept, states in before:
            kept.keep(states)


def samples_per_call(model: keras.layers.Layer, batch_size: int) -> int:
    """Return how many samples a call of a model takes: as many as its states are for, or any number.

    Args:
        model: built.
        batch_size: where it keeps no states.
    """
    return next((shape[0] for kept in kept_states(model) for shape in kept.shapes), batch_size)
