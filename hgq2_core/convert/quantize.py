"""`quantize_model` converts a plain Keras model to quantized layers, by rules, with its weights."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import keras

from hgq2_core.convert.fusion import with_surroundings
from hgq2_core.convert.operation_layers import OperandQuantizers
from hgq2_core.convert.owners import check_owners
from hgq2_core.convert.precision import check_precision
from hgq2_core.convert.rules import Rule, Rules, keras_kind, read_rules
from hgq2_core.convert.split_activations import separated
from hgq2_core.convert.steps import Step, WrapperStep, fuse, is_quantized, needs_table, step_of
from hgq2_core.convert.subclassed import with_graph
from hgq2_core.convert.trainability import keep_trainability
from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import layers_of, operations_of
from hgq2_core.layers.adapters import sublayers
from hgq2_core.layers.operations import is_operation
from hgq2_core.quantizers.config import ROLES, QuantizerConfig
from hgq2_core.quantizers.defaults import defaults, role_default, scoped

BITS = 8
"""Default width of a converted model."""


@preserve_rng()
def quantize_model(model: keras.Model, rules: Rules = (), bits: int | None = BITS) -> keras.Model:
    """Convert a plain Keras model to quantized layers, with the same graph and weights.

    The first rule that matches decides what becomes of a layer; without one it becomes the kind of the same name:
    `keras.Dense` becomes `dense`. A convolution, Dense or EinsumDense and the BatchNormalization of its channels that
    directly follows, and alone takes its output, become one layer, such as `conv2d_batch_norm`. Elsewhere, behind an
    activation, of another axis, trained without the layer in front, or by a rule of its own, the normalization stays a
    layer. A rule with a kind that fuses the following layer, such as `dense_batch_norm`, is refused where it cannot.

    Operations on tensors, such as `x + y`, become layers; where one takes raw inputs, or would give more bits than a
    float32 holds, layers `<name>_quantize` come before it, and constants with that many bits, such as a factor of 0.1,
    are rounded to 12 bits of the largest in their array. `x ** 2` becomes a product, `x / 3` one with 1/3,
    `keras.ops.sqrt(x)` and other functions of one number a table, `x / y` a product with a table of 1 / y,
    `keras.ops.var(x)` means and a square, `keras.ops.max_pool(x, 2)` a layer. An activation inside a layer that needs
    a table, such as `tanh`, becomes a separate layer after it, named after it with the suffix `_activation`. The layers
    inside TimeDistributed and Bidirectional are converted.
    Layers that an adapter makes exact, and layers that are already quantized, are kept. Scopes of `hgq2_core.defaults`
    take precedence over `bits`. Continue with `fit_ranges`, training if wanted, and `calibrate`.

    Args:
        model: functional or sequential, built; nested models are converted too. Of a subclassed model, built, whose
            `call` Keras can trace, a functional one is made. It is not changed.
        rules: mappings of `match` (a glob of names, or a class such as `keras.Dense`), `kind`, and arguments of the new
            layer; or a mapping from `match` to the rest.
        bits: initial width of every quantizer, including the sign, where neither a rule nor a scope sets it. Weights
            then have one format per channel and activations one per tensor, with dynamic ranges; the ranges of
            recurrent states, which saturate, are fitted. None for the defaults of the roles, which suit training.

    Returns:
        The new model; compiled as the old one, if that is.

    Raises:
        ConfigError: a rule converts no layer, arguments do not fit, a layer cannot be converted, or `bits` is not a
            width.

    Example:
        >>> quantize_model(model, [{"match": "keras.Dense", "kernel_quantizer": {"kind": "kbi", "b": 6}}])
    """
    read = list(read_rules(rules))
    check_precision(model, "quantize_model")
    model = with_graph(model, "quantize_model", kept=lambda layer: any(rule.replaces(layer) for rule in read))
    check_owners(model, "quantize_model")
    tabled = {id(layer) for path, layer in _layers(model) if needs_table(layer, path, read)}
    model = separated(model, lambda layer: id(layer) in tabled)
    steps = fuse(model, {id(layer): step_of(layer, path, read) for path, layer in _layers(model)})
    _check_use(read, list(steps.values()))
    made: dict[int, keras.layers.Layer] = {}
    operations: dict[int, keras.layers.Layer] = {}
    operands = OperandQuantizers(layer.name for layer in layers_of(model))

    def convert(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return clone(layer)
        if id(layer) not in steps:  # an operation of a mask
            return layer
        if id(layer) in made:  # applied twice
            return made[id(layer)]
        step = steps[id(layer)]
        with with_surroundings(model, layer, unfused=bool(step.cls and step.cls.fuses and not step.successor)):
            new = made[id(layer)] = step.make(convert)
        if is_operation(layer):
            operations[id(new)] = new
        made.update({id(old): each for old, each in _inside(layer, new)})  # Bidirectional copies what it gets
        return new

    def apply(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return operands.apply(layer, args, kwargs) if id(layer) in operations else _apply(layer, *args, **kwargs)

    @functools.cache  # a nested model that is applied twice stays one model
    def clone(model: keras.Model) -> keras.Model:
        applied = {} if isinstance(model, keras.Sequential) else {"call_function": apply}
        copy: keras.Model = keras.models.clone_model(model, clone_function=convert, **applied)
        keep_trainability(model, copy, added=[*operations.values(), *operands.layers])
        return copy

    with defaults(**_formats(bits)):
        converted = clone(model)
    for key, step in steps.items():
        step.copy_weights(made[key])
    return converted


def _inside(
    layer: keras.layers.Layer, new: keras.layers.Layer
) -> Iterator[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Yield the layers inside a wrapper, at any depth, each beside that in its conversion."""
    for old, made in zip(sublayers(layer), sublayers(new), strict=False):
        yield old, made
        yield from _inside(old, made)


def _apply(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    # Keras' graph also passes masks that are None.
    given = {name: value for name, value in kwargs.items() if value is not None}
    unexpected = [name for name in given if name not in inspect.signature(layer.call).parameters]
    if unexpected:
        raise ConfigError(
            f"quantize_model: {layer.name}: the model calls this layer with {listing(unexpected)}, which "
            f"{type(layer).__name__} does not take. Allowed: {listing(inspect.signature(layer.call).parameters)}."
        )
    return layer(*args, **given)


def _formats(bits: int | None) -> dict[str, QuantizerConfig]:
    if bits is None:
        return {}
    if isinstance(bits, bool) or not isinstance(bits, int) or bits < 2:
        raise ConfigError(f"quantize_model: bits is a width with its sign, 2 or more. Received: bits={bits!r}.")
    return {role: role_default(role).with_bits(bits, role) for role in ROLES if scoped(role) is None}


def _layers(layer: keras.layers.Layer, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield the layers and operations inside a model or a wrapper, at any depth, with their paths, but no models."""
    inside = [*layer.layers, *operations_of(layer)] if isinstance(layer, keras.Model) else sublayers(layer)
    for each in inside:
        path = prefix + each.name
        if not isinstance(each, keras.Model | keras.layers.InputLayer):
            yield path, each
        yield from _layers(each, f"{path}/")


def _check_use(rules: list[Rule], steps: list[Step]) -> None:
    used = {id(step.rule) for step in steps}
    for rule in rules:
        if id(rule) not in used:
            start = f"quantize_model: {rule.place} converts no layer: "
            matching = [step for step in steps if rule.matches(step.path, step.layer)]
            if matching:
                reasons = listing(f"{step.path} {_why_unused(step)}" for step in matching)
                raise ConfigError(f"{start}{reasons}. Received: match={rule.match!r}.")
            names = [step.path for step in steps]
            classes = {kind for step in steps if (kind := keras_kind(step.layer))}
            raise ConfigError(
                f"{start}none is of this name or class. Received: match={rule.match!r}. Allowed: {listing(names)}; "
                f"{listing(classes)}.{nearest(rule.match, [*names, *classes])}"
            )


def _why_unused(step: Step) -> str:
    """Return why a rule that matches a layer does not convert it."""
    if is_quantized(step.layer):
        return "is already quantized, and is kept"
    if step.rule is not None:
        return f"is converted by {step.rule.place}, which comes before"
    if isinstance(step, WrapperStep):
        return "is a wrapper: match the layers inside it"
    return "is exact, and is kept; a rule with a `kind` converts it"
