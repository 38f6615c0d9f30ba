"""The graph of a model as data: inputs, nodes in topological order, edges and outputs; its checks and its build."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import keras
from pydantic import Field, field_validator, model_validator

from hgq2_core.config.nodes import ModelNode, Node, Nodes
from hgq2_core.config.specs import Name
from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.keras_graph.random_state import seeded
from hgq2_core.schema.base import FromList, Location, StrictModel, validation_errors
from hgq2_core.schema.keras_objects import LARGEST

MAX_WEIGHTS = 1 << 26
"""Limit on the weights and bits of a model; the optimizer's state takes several times as much memory."""

MAX_APPLICATIONS = 500
"""Limit on the applications of layers in a model, nested models counted each time: graphs are walked recursively."""

Size = Annotated[int, Field(gt=0, le=LARGEST)]


class InputSpec(StrictModel):
    """One input of the model.

    Args:
        shape: shape of one sample, without the batch axis.
        dtype: data type.
        batch_size: samples in every batch, which a stateful layer needs; None for any number.
    """

    shape: Annotated[tuple[Size | None, ...], FromList]
    dtype: Literal["float32", "float64", "int32"] = "float32"
    batch_size: Size | None = None

    @field_validator("shape")
    @classmethod
    def _check_elements(cls, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if math.prod(size or 1 for size in shape) > LARGEST:
            raise ValueError(f"must have at most {LARGEST} elements. Received: {list(shape)}")
        return shape


class ModelSection(StrictModel):
    """Inputs by name, and layers: a chain, except where a layer names its `inputs`.

    An item of `layers` is a layer of some `kind`; or `layer`, the name of an earlier layer to apply again, with the
    same weights; or `model`, a nested model with its own inputs and layers.

    Args:
        inputs: the inputs by name.
        layers: the layers in topological order, each after the layers whose outputs it takes.
        outputs: names of the layers whose outputs the model returns; None for the last layer.
        name: name of the model.
    """

    inputs: Annotated[dict[Name, InputSpec], Field(min_length=1)]
    layers: Annotated[tuple[Annotated[Node, Nodes(lambda: ModelSection)], ...], Field(min_length=1), FromList]
    outputs: Annotated[tuple[str, ...], Field(min_length=1), FromList] | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _check_graph(self) -> ModelSection:
        graph = _Graph(self)
        errors = [*graph.check_layers(), *graph.check_outputs()] or [*graph.check_idle()]
        if not errors and self.applications > MAX_APPLICATIONS:
            message = (
                f"at most {MAX_APPLICATIONS} layers, models inside counted each time. Received: {self.applications}."
            )
            errors = [(("layers",), message)]
        if errors:
            raise validation_errors(errors)
        return self

    @property
    def applications(self) -> int:
        """Number of applications of layers, nested models counted each time."""
        sizes: dict[str, int] = {}
        for node, name in zip(self.layers, self.names, strict=True):
            sizes[name] = node.applications(sizes)
        return sum(sizes.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes; a node without one gets its default name, with a number where that name is taken.

        Keras would number by all layers that the process has built.
        """
        taken = {node.name for node in self.layers} | set(self.inputs)
        names = []
        for node in self.layers:
            numbered = itertools.chain(
                [node.default_name], (f"{node.default_name}_{number}" for number in itertools.count(2))
            )
            names.append(node.name or next(name for name in numbered if name not in taken))
            taken.add(names[-1])
        return tuple(names)

    @property
    def output_names(self) -> list[str]:
        """Names of the layers whose outputs the model returns; of a layer that is applied again, its own."""
        reused = dict(zip(self.names, (node.reuses for node in self.layers), strict=True))
        return [reused.get(name) or name for name in self.outputs or (self.names[-1],)]

    def place_of(self, path: str) -> str:
        """Return the place in the config of a layer of the built model.

        Args:
            path: path of the layer in the model, such as `encoder/dense`.
        """
        name, _, rest = path.partition("/")
        if name in self.inputs:
            return f"model.inputs.{name}"
        if name not in self.names:
            return "model"
        index = self.names.index(name)
        node = self.layers[index]
        inside = f".{node.model.place_of(rest)}" if rest and isinstance(node, ModelNode) else f" ({path})"
        return f"model.layers.{index}{inside}"

    def build(self, seed: int, name: str | None = None) -> keras.Model:
        """Build the model; the random numbers that a layer draws follow from the seed and its name.

        Args:
            seed: seed of the model.
            name: name of the model, if it is nested in another one; otherwise the section's, or `model`.

        Raises:
            ConfigError: shapes or arguments do not fit; the message names the layer.
        """
        tensors: dict[str, Any] = {
            key: keras.Input(spec.shape, spec.batch_size, spec.dtype, name=key) for key, spec in self.inputs.items()
        }
        inputs = list(tensors.values())
        layers: dict[str, Any] = {}
        last = next(iter(tensors))
        for index, (node, own) in enumerate(zip(self.layers, self.names, strict=True)):
            where = f"model.layers.{index} ({own})"
            sources = [tensors[source] for source in (node.inputs or (last,))]
            last = own
            drawn = _derived(seed, own)
            with seeded(drawn):
                with _failing(where):
                    layers[own] = node.make(own, layers, drawn)
                shapes = ", ".join(str(tuple(each.shape)) for each in sources)
                with _failing(f"{where}: cannot take inputs of shape {shapes}"), _weights_limited(layers[own], where):
                    tensors[own] = layers[own](sources[0] if len(sources) == 1 else sources)
            _check_sizes(layers, tensors[own], where)
        outputs = [tensors[output] for output in (self.outputs or (last,))]
        return keras.Model(
            inputs[0] if len(inputs) == 1 else inputs,
            outputs[0] if len(outputs) == 1 else outputs,
            # Keras counts models in a process: its name would differ between two equal runs.
            name=name or self.name or "model",
        )


class _Graph:
    """Checks of the edges between nodes, which are in topological order."""

    def __init__(self, section: ModelSection) -> None:
        self.section = section
        self.known: dict[str, Location] = {name: ("inputs", name) for name in section.inputs}
        self.layers: list[str] = []
        self.used: set[str] = set()
        self.last = next(iter(section.inputs)) if len(section.inputs) == 1 else None

    def check_layers(self) -> Iterator[tuple[Location, str]]:
        names = self.section.names
        for index, (node, name) in enumerate(zip(self.section.layers, names, strict=True)):
            place = ("layers", index)
            if node.inputs is None and self.last is None:
                yield place, f"say which of {listing(self.section.inputs)} this layer takes: `inputs: [name, ...]`."
            sources = node.inputs or (() if self.last is None else (self.last,))
            for source in sources:
                if source not in self.known:
                    later = " It comes later, or is this very layer: a model has no cycles." if source in names else ""
                    yield (*place, "inputs"), self._unknown(source, later)
            yield from self._check_node(node, len(sources), place)
            self.used.update(sources)
            self.last = name
            if self.last in self.known:
                yield (*place, "name"), f"the name is taken. Received: {self.last!r}. Names differ, inputs included."
            self.known[self.last] = place
            if node.reuses is None:
                self.layers.append(name)

    def _check_node(self, node: Node, sources: int, place: Location) -> Iterator[tuple[Location, str]]:
        if node.reuses is not None and node.reuses not in self.layers:
            yield (
                (*place, "layer"),
                f"must be the name of an earlier layer. Received: {node.reuses!r}. Allowed: {listing(self.layers)}."
                f"{nearest(node.reuses, self.layers)}",
            )
        if isinstance(node, ModelNode) and sources != len(node.model.inputs):
            wanted = listing(node.model.inputs)
            yield (
                (*place, "inputs"),
                f"must be one for each input of the model: {wanted}. Received: {sources}.",
            )

    def check_outputs(self) -> Iterator[tuple[Location, str]]:
        outputs = self.section.outputs or ()
        for name in dict.fromkeys(outputs):
            if name not in self.known:
                yield ("outputs",), self._unknown(name)
            if outputs.count(name) > 1:
                yield ("outputs",), f"names differ. Received: {name!r} {outputs.count(name)} times."

    def check_idle(self) -> Iterator[tuple[Location, str]]:
        outputs = self.section.outputs or (self.last,)
        for name, place in self.known.items():
            if name not in self.used and name not in outputs:
                yield place, f"nothing takes {name!r}; name it in `outputs`, or in the `inputs` of a layer."

    def _unknown(self, name: str, later: str = "") -> str:
        allowed = listing(self.known)
        return f"unknown name. Received: {name!r}. Allowed: {allowed}.{later or nearest(name, self.known)}"


class SizeError(ConfigError):
    """A model that would take more memory than anybody can have intended."""


@contextmanager
def _weights_limited(layer: keras.layers.Layer, where: str) -> Iterator[None]:
    """Refuse a weight that is too large before its memory is allocated, for layers of any class."""
    if layer.built:
        yield
        return
    add_weight = layer.add_weight

    def limited(shape: Any = (), *args: Any, **kwargs: Any) -> Any:
        if math.prod(shape or ()) > MAX_WEIGHTS:
            raise SizeError(f"{where}: has at most {MAX_WEIGHTS} weights. Received: a weight of shape {tuple(shape)}.")
        return add_weight(shape, *args, **kwargs)

    layer.add_weight = limited
    try:
        yield
    finally:
        del layer.add_weight


def _check_sizes(layers: dict[str, Any], output: Any, where: str) -> None:
    weights = sum({id(layer): layer.count_params() for layer in layers.values()}.values())
    if weights > MAX_WEIGHTS:
        raise SizeError(f"{where}: a model has at most {MAX_WEIGHTS} weights. Received: {weights} so far.")
    for tensor in keras.tree.flatten(output):
        if math.prod(size or 1 for size in tensor.shape[1:]) > LARGEST:
            shape = tuple(tensor.shape[1:])
            raise SizeError(
                f"{where}: gives at most {LARGEST} values for a sample. Received: an output of shape {shape}."
            )


def _derived(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4], "little")


@contextmanager
def _failing(where: str) -> Iterator[None]:
    """Turn an error that a layer raises about its arguments or inputs into a ConfigError that names the layer."""
    try:
        yield
    except SizeError:
        raise
    except (ValueError, TypeError, IndexError, AssertionError, RuntimeError, MemoryError) as error:
        # Keras wraps an error in `call`, and prints the original message in bold.
        text = re.search(r"\x1b\[1m(.*?)\x1b\[0m", str(error), re.DOTALL)
        raise ConfigError(f"{where}: {' '.join((text[1] if text else str(error)).split())}") from error
