"""Access to private Keras API that has no public counterpart; a test pins it, and all other code uses public API."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.backend.common import global_state

SEEDS = ("global_random_seed", "global_seed_generator")
"""Attributes in which Keras keeps its seed, and the generator of random numbers without a seed."""

WAITING = "uninitialized_variables"
"""Attribute in which Keras keeps variables that were made in a stateless scope."""

OPERATIONS = "keras.src.ops."
"""The package in which Keras has the classes of its operations, which have no public name."""

RUNNING = ("stateless_scope", "current_call_ctx")
"""Attributes in which Keras keeps what it knows for the time of a stateless call, and of the outermost call."""

SYMBOLIC = "symbolic_scope"
"""Attribute in which Keras keeps that it asks for the shapes of a call, in several ways if the first one fails."""

LEGACY = "use_legacy_config"
"""Attribute in which Keras keeps whether it writes its legacy HDF5 format."""


def flatten_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return a layer and every layer inside it, at any depth, each once."""
    return list(layer._flatten_layers())


def nodes(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, list[Any], list[Any]]]:
    """Yield each application in a functional graph in topological order: the layer, its input and output tensors."""
    for node in _applied(model):
        yield node.operation, node.input_tensors, node.output_tensors


def calls(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, tuple[Any, ...], dict[str, Any]]]:
    """Yield each application in a functional graph in topological order: the layer and its arguments.

    Among these are the masks that Keras hands on beside the tensors; it records them for some calls only.
    """
    for node in _applied(model):
        yield node.operation, node.arguments.args, _with_masks(node)


def _applied(model: keras.Model) -> Iterator[Any]:
    depths = model._nodes_by_depth
    for depth in sorted(depths, reverse=True):
        yield from (node for node in depths[depth] if node.operation is not None and not node.is_input)


def _with_masks(node: Any) -> dict[str, Any]:
    """Return the arguments by keyword, with the masks that a layer takes from its tensors as Keras populates them."""
    kwargs = dict(node.arguments.kwargs)
    if not isinstance(node.operation, keras.layers.Layer):
        return kwargs
    signature = inspect.signature(node.operation.call)
    taken = {name: value for name, value in kwargs.items() if name in signature.parameters}
    bound = signature.bind_partial(*node.arguments.args, **taken).arguments
    tensors = {name: value for name, value in bound.items() if _is_symbolic(value)}
    for name, value in tensors.items():
        mask = keras.tree.map_structure(mask_of, value)
        place = "mask" if len(tensors) == 1 else f"{name}_mask"
        missing = place in signature.parameters and kwargs.get(place) is None
        if missing and any(each is not None for each in keras.tree.flatten(mask)):
            kwargs[place] = mask
    return kwargs


def _is_symbolic(value: Any) -> bool:
    return any(isinstance(each, keras.KerasTensor) for each in keras.tree.flatten(value))


def inbound_calls(operation: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the arguments of each symbolic call of a layer or operation, whatever model it belongs to."""
    return [(node.arguments.args, node.arguments.kwargs) for node in operation._inbound_nodes if not node.is_input]


def consumers(operation: Any) -> list[tuple[Any, list[Any]]]:
    """Return the layers and operations that take what one computes, each with all tensors that it takes there."""
    return [(node.operation, node.input_tensors) for node in operation._outbound_nodes]


def producer(tensor: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any], int] | None:
    """Return what computes a symbolic tensor; None for the input of a model.

    Returns:
        The layer or operation, its arguments, and which of its outputs the tensor is.
    """
    operation, node_index, index = tensor._keras_history
    node = operation._inbound_nodes[node_index]
    return None if node.is_input else (operation, node.arguments.args, node.arguments.kwargs, index)


def producer_name(tensor: Any) -> str:
    """Return the name of the layer, operation or input that a symbolic tensor comes from."""
    return str(tensor._keras_history.operation.name)


def operation_name(operation: Any) -> str | None:
    """Return the name in `keras.ops` of an operation in a graph, such as `add` of `x + y`; None for anything else.

    `x[1:]` has no such name, and is `get_item`.
    """
    cls = type(operation)
    return _snake(cls.__name__) if _is_of_keras(cls) else None


def operation_class(name: str) -> type[keras.Operation] | None:
    """Return the class of the operation with a name, see `operation_name`; None if there is none."""
    return _operation_classes().get(name)


@functools.cache
def _operation_classes() -> dict[str, type[keras.Operation]]:
    modules = [module for path, module in sorted(sys.modules.items()) if path.startswith(OPERATIONS)]
    found = (cls for module in modules for cls in vars(module).values() if isinstance(cls, type))
    return {_snake(cls.__name__): cls for cls in found if _is_of_keras(cls)}


def _is_of_keras(cls: type) -> bool:
    return issubclass(cls, keras.Operation) and cls.__module__.startswith(OPERATIONS)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def run_graph(model: keras.Model, inputs: list[Any], apply: Callable[..., Any]) -> list[Any]:
    """Run a functional graph with another operation for each layer, and for what computes masks.

    Args:
        model: a functional model.
        inputs: one value per input tensor, of any type.
        apply: called as `apply(layer, *args, **kwargs)` for each application; masks are among the `kwargs`.

    Returns:
        One value per output tensor.
    """
    known = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}

    def value_of(argument: Any) -> Any:
        if not isinstance(argument, keras.KerasTensor):
            return argument
        if id(argument) not in known and _follows_from(argument, known):  # a mask that Keras did not record
            compute(_node_of(argument))
        return known.get(id(argument))

    def compute(node: Any) -> None:
        args, kwargs = keras.tree.map_structure(value_of, (node.arguments.args, _with_masks(node)))
        outputs = keras.tree.flatten(apply(node.operation, *args, **kwargs))
        known.update(zip(map(id, node.outputs), outputs, strict=False))

    for node in _applied(model):
        compute(node)
    return [known[id(tensor)] for tensor in model.outputs]


def _follows_from(tensor: Any, known: Collection[int]) -> bool:
    """Return True if a symbolic tensor is known, or computed from tensors that are."""
    node = _node_of(tensor)
    return id(tensor) in known or (not node.is_input and all(_follows_from(each, known) for each in node.input_tensors))


def _node_of(tensor: Any) -> Any:
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def functional(model: keras.Model) -> keras.Model | None:
    """Return the functional model of a functional or built sequential one; None for a subclassed model."""
    if isinstance(model, keras.Sequential):
        return model._functional if model.built else None
    return model if hasattr(model, "_nodes_by_depth") else None


def saves_hdf5() -> bool:
    """Return True while Keras writes a model in its legacy HDF5 format, whose reader changes some values of configs."""
    return bool(global_state.get_global_attribute(LEGACY))


def outermost_call() -> Any:
    """Return the object that Keras makes for the time of the outermost call of a layer or model.

    None outside of one, and where Keras asks for shapes alone.
    """
    if global_state.get_global_attribute(SYMBOLIC) is not None:
        return None
    return next(filter(None, map(global_state.get_global_attribute, RUNNING)), None)


def running_model() -> keras.layers.Layer | None:
    """Return the layer or model whose call is the outermost now; None outside of one."""
    call = global_state.get_global_attribute(RUNNING[1])
    return None if call is None else call.entry_layer


def dropout_cell() -> type:
    """Return the base by which Keras' loop over steps knows a cell that draws its dropout before the first step."""
    base: type = next(base for base in keras.layers.LSTMCell.__mro__ if base.__name__ == "DropoutRNNCell")
    return base


def mask_of(tensor: Any) -> Any:
    """Return the mask that Keras attaches to a tensor, or None."""
    return getattr(tensor, "_keras_mask", None)


@contextmanager
def unallocated() -> Iterator[None]:
    """Make layers built inside allocate no weights, which then have shapes but no values."""
    waiting = global_state.get_global_attribute(WAITING, [])
    global_state.set_global_attribute(WAITING, [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Keras would initialize them when the next such scope is left.
        global_state.set_global_attribute(WAITING, waiting)


def update(optimizer: keras.optimizers.Optimizer, grads: list[Any], variables: list[keras.Variable]) -> None:
    """Take one step of an optimizer: weight decay and update, without the other work of Keras' base class."""
    optimizer._apply_weight_decay(variables)
    optimizer._backend_update_step(grads, variables, optimizer.learning_rate)


def uses_weight_decay(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> bool:
    """Return True unless a variable is excluded from an optimizer's weight decay."""
    return bool(optimizer._use_weight_decay(variable))


def copy_weight_decay_exclusions(source: keras.optimizers.Optimizer, target: keras.optimizers.Optimizer) -> None:
    """Exclude the variables from one optimizer's weight decay that another one excludes."""
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


def hold_seeds() -> Callable[[], None]:
    """Return a function that restores the present state of Keras' seed and generator."""
    held = {name: global_state.get_global_attribute(name) for name in SEEDS}
    generator = held["global_seed_generator"]
    state = None if generator is None else keras.ops.convert_to_numpy(generator.state.value).copy()

    def restore() -> None:
        for name, value in held.items():
            global_state.set_global_attribute(name, value)
        if generator is not None:
            generator.state.assign(state)

    return restore


def forget_seeds() -> None:
    """Make Keras seed its next generator from Python's random generator."""
    for name in SEEDS:
        global_state.set_global_attribute(name, None)


def hold_tensorflow_seed() -> Callable[[], None]:
    """Return a function that restores the present state of tensorflow's global seed and generator."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    attributes = vars(context.context())

    def place() -> tuple[Any, Any]:
        generator = attributes.get("_rng")
        return attributes["_seed"], generator and generator.getstate()

    held = place()

    def restore() -> None:
        if place() != held:  # setting the seed resets operations that have their own seed
            tf.random.set_seed(held[0])
            if held[1] is not None:
                attributes["_rng"].setstate(held[1])

    return restore
