"""Traversal of a model: its layers, and the applications of layers in topological order."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hgq2_core.errors import DataError, ExactnessError, listing
from hgq2_core.keras_graph import private as _keras


@dataclass(frozen=True)
class Application:
    """One application of a layer in a model; a layer that is applied twice is two circuits.

    Args:
        layer: the layer.
        path: names of the enclosing models and of the layer, joined by `/`.
        output_shape: shape of the output without the batch axis; None if the graph does not define one.
    """

    layer: keras.layers.Layer
    path: str
    output_shape: tuple[int | None, ...] | None


def layers_of(model: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yield every layer of a model once, including the layers of nested models and sublayers."""
    yield from _keras.flatten_layers(model)


def applications(model: keras.layers.Layer, prefix: str = "") -> Iterator[Application]:
    """Yield every application of a layer, also inside nested models; sublayers follow their owner.

    Operations on tensors are among them, but those that only make the masks which Keras passes on beside the tensors.

    Args:
        model: any Keras model; each layer of a subclassed one, whose graph is not known, counts once.
        prefix: path of the model, ending in `/`.
    """
    graph = _keras.functional(model)
    if graph is None:
        sublayers = [layer for layer in layers_of(model) if layer is not model]
        for layer in sublayers:
            yield Application(layer, prefix + layer.name, None)
        return
    operations = set(operations_of(model))
    for layer, _, outputs in _keras.nodes(graph):
        path = prefix + layer.name
        if not isinstance(layer, keras.layers.Layer) and layer not in operations:
            continue
        if isinstance(layer, keras.Model):
            yield from applications(layer, path + "/")
            continue
        shape = tuple(outputs[0].shape[1:]) if len(outputs) == 1 else None
        yield Application(layer, path, shape)
        if isinstance(layer, keras.layers.Layer):
            yield from _inside(layer, path)


def _inside(layer: keras.layers.Layer, path: str) -> Iterator[Application]:
    inner = [each for each in layers_of(layer) if each is not layer]
    models = [each for each in inner if isinstance(each, keras.Model)]
    in_models = {id(each) for model in models for each in layers_of(model) if each is not model}
    for each in inner:
        if id(each) in in_models:
            continue
        if isinstance(each, keras.Model):
            yield from applications(each, f"{path}/{each.name}/")
        else:
            yield Application(each, f"{path}/{each.name}", None)


def single_consumer_edges(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Yield the pairs of layers, both applied once, of which the second alone takes the output of the first.

    Pairs inside nested models, and models inside wrappers, are included.

    Args:
        model: functional, or sequential and built.
    """
    graphs = graphs_of(model)
    times = Counter(id(layer) for graph in graphs for layer, _, _ in _keras.nodes(graph))
    for graph in graphs:
        consumers: dict[int, list[Any]] = {}
        for taker, inputs, _ in _keras.nodes(graph):
            for tensor in inputs:
                consumers.setdefault(id(tensor), []).append(taker)
        results = {id(tensor) for tensor in graph.outputs}
        for layer, _, outputs in _keras.nodes(graph):
            ids = {id(tensor) for tensor in outputs}
            takers = [taker for each in ids for taker in consumers.get(each, ())]
            ends_here = not ids.isdisjoint(results)
            if len(takers) == 1 and not ends_here and times[id(layer)] == times[id(takers[0])] == 1:
                yield layer, takers[0]


def neighbors(model: keras.Model, layer: keras.layers.Layer) -> tuple[list[keras.layers.Layer], ...]:
    """Return the layers whose outputs a layer takes, and those that take its outputs.

    Args:
        model: functional, or sequential and built; the layer may be in a nested model.
        layer: in its graph.
    """
    before: list[keras.layers.Layer] = []
    after: list[keras.layers.Layer] = []
    for graph in graphs_of(model):
        applied = list(_keras.nodes(graph))
        taken = {id(tensor) for each, inputs, _ in applied if each is layer for tensor in inputs}
        made = {id(tensor) for each, _, outputs in applied if each is layer for tensor in outputs}
        before += [each for each, _, outputs in applied if not taken.isdisjoint(map(id, outputs))]
        after += [each for each, inputs, _ in applied if not made.isdisjoint(map(id, inputs))]
    return before, after


def graphs_of(model: keras.layers.Layer) -> list[Any]:
    """Return the functional graphs of a model and of those inside it, also in wrappers, each once."""
    graphs = (_keras.functional(each) for each in layers_of(model) if isinstance(each, keras.Model))
    return list({id(graph): graph for graph in graphs if graph is not None}.values())


def output_names(model: keras.Model) -> list[str]:
    """Return the names of a model's outputs, which are the names of the layers that compute them.

    Args:
        model: functional, or sequential and built.
    """
    graph = _keras.functional(model)
    return [] if graph is None else list(graph.output_names)


def operations_of(model: keras.Model) -> list[Any]:
    """Return the operations on tensors, such as `x + y`, in a model's graph; not those of nested models.

    Operations of the masks that Keras passes on beside the tensors, such as those of Masking, are left out.
    """
    graph = _keras.functional(model)
    applied = [] if graph is None else list(_keras.nodes(graph))
    masks = {id(_keras.mask_of(tensor)) for _, inputs, _ in applied for tensor in inputs}
    values = set() if graph is None else {id(tensor) for tensor in graph.outputs}
    found: dict[Any, None] = {}
    for each, inputs, outputs in reversed(applied):
        if isinstance(each, keras.layers.Layer):
            values |= {id(tensor) for tensor in inputs} - masks
        elif any(id(tensor) in values for tensor in outputs):
            values |= {id(tensor) for tensor in inputs}
            found[each] = None
    return list(reversed(found))


Apply = Callable[[keras.layers.Layer, str, tuple[Any, ...], dict[str, Any]], Any]


def run(model: keras.Model, inputs: list[Any], apply: Apply, prefix: str = "") -> list[Any]:
    """Run a model's graph, including nested models, with another operation for each layer.

    Args:
        model: a functional or sequential model.
        inputs: one value per input of the model, of any type.
        apply: called as `apply(layer, path, args, kwargs)` for each application.
        prefix: path of the model, ending in `/`.

    Returns:
        One value per output of the model.

    Raises:
        ExactnessError: the graph of the model is not known.
    """
    graph = _keras.functional(model)
    if graph is None:
        raise ExactnessError(
            f"{prefix}{model.name}: the graph of this {type(model).__name__} is not known. "
            "Build it first, and use a functional or sequential model."
        )

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        path = prefix + layer.name
        if isinstance(layer, keras.Model):
            outputs = run(layer, keras.tree.flatten(args), apply, path + "/")
            return outputs[0] if len(outputs) == 1 else outputs
        return apply(layer, path, args, kwargs)

    return _keras.run_graph(graph, inputs, call)


def graph_is_known(model: keras.layers.Layer) -> bool:
    """Return True if `run` can run a model, that is, if it is functional, or sequential and built."""
    return _keras.functional(model) is not None


def model_inputs(model: keras.Model, batch: Any) -> list[Any]:
    """Return a batch in the order, dtypes and, as in Keras, the ranks of the model's inputs.

    Args:
        model: a model whose graph is known.
        batch: an array, or a list or mapping of arrays.

    Raises:
        DataError: there is not one array for each input, or a shape differs.
    """
    ordered = zip(_ordered(model, batch), model.inputs, strict=True)
    return [np.asarray(value, dtype=tensor.dtype) for value, tensor in ordered]


def in_structure(model: keras.Model, batch: Any) -> Any:
    """Return a batch in the structure of the model's inputs; unchanged if the graph is not known.

    Keras warns about a list with one array, and about a list in place of a dict.

    Args:
        model: any built model.
        batch: an array, or a list or mapping of arrays.

    Raises:
        DataError: there is not one array for each input, or a shape differs.
    """
    graph = _keras.functional(model)
    return batch if graph is None else keras.tree.pack_sequence_as(graph.input, _ordered(model, batch))


def _ordered(model: keras.Model, batch: Any) -> list[np.ndarray]:
    names = [tensor.name for tensor in model.inputs]
    if isinstance(batch, Mapping):
        if missing := set(names) - set(batch):
            raise DataError(f"{model.name}: no data for {listing(missing)}. Received: {listing(batch)}.")
        batch = [batch[name] for name in names]
    arrays = keras.tree.flatten(batch)
    if len(arrays) != len(names):
        raise DataError(f"{model.name}: takes {len(names)} inputs, {', '.join(names)}. Received: {len(arrays)} arrays.")
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    return [
        _in_rank(np.asarray(value), shape, f"{model.name}: {name}")
        for value, shape, name in zip(arrays, shapes, names, strict=True)
    ]


def _in_rank(array: np.ndarray, shape: tuple[int | None, ...], where: str) -> np.ndarray:
    if array.ndim == len(shape) - 1 and shape[-1] == 1:
        array = array[..., np.newaxis]
    elif array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    wanted, given = shape[1:], array.shape[1:]
    if len(wanted) != len(given) or any(a not in (None, b) for a, b in zip(wanted, given, strict=True)):
        raise DataError(f"{where}: takes samples of shape {list(wanted)}. Received: shape {list(given)}.")
    return array


def operands(args: tuple[Any, ...]) -> list[Any]:
    """Return the tensors that a layer is applied to, with lists flattened."""
    # Merging layers take one list; their `exact` takes each input as an argument.
    return [operand for arg in args for operand in (arg if isinstance(arg, list | tuple) else [arg])]


def infer(layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a layer, or an operation such as `x + 1`, in inference mode."""
    takes_training = "training" in inspect.signature(layer.call).parameters
    return layer(*args, **({**kwargs, "training": False} if takes_training else kwargs))
