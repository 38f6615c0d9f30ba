"""`quantize_model` converts a plain Keras model to quantized layers, by rules, with its weights."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated, Any

import keras
from pydantic import Field
from typing_extensions import override

from hgq2_core.convert.fusion import fused_class, with_surroundings
from hgq2_core.convert.operation_layers import OperandQuantizers, check_convertible
from hgq2_core.convert.split_activations import separated
from hgq2_core.convert.subclassed import with_graph
from hgq2_core.discovery.known_plugins import OPERATION_LAYER, is_official
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, ExactnessError, listing, nearest
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import operations_of, single_consumer_edges
from hgq2_core.layers.adapters import OPS, adapter_of, rewrapped, sublayers
from hgq2_core.layers.arguments import ACTIVATIONS, EXACT_ACTIVATIONS
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.operations import is_operation, operation_of
from hgq2_core.layers.transfer import copy_weights
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import ROLES, QuantizerConfig
from hgq2_core.quantizers.defaults import defaults, role_default, scoped
from hgq2_core.schema.base import StrictModel, as_config_error, at_path, validation_errors
from hgq2_core.schema.keras_layers import KERAS, quantized_name, snake
from hgq2_core.schema.refused_layers import NOT_YET, REFUSED
from hgq2_core.schema.signature import parameters

BITS = 8
"""Default width of a converted model."""

Rules = Iterable[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]]


class _Head(StrictModel):
    """The fields of a rule that are not arguments of the new layer."""

    match: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(min_length=1)] | None = None


@dataclass(frozen=True)
class Rule:
    """One rule.

    Args:
        place: its place among the rules, for messages.
        match: a glob of names, such as `encoder/dense_*`, or a class, such as `keras.Dense`.
        kind: the kind of the new layer; None for the layer's quantized form, `keras.<its class>` to keep the layer.
        arguments: arguments of the new layer, which take precedence over those of the old one.
    """

    place: str
    match: str
    kind: str | None
    arguments: Mapping[str, Any]

    def matches(self, path: str, layer: keras.layers.Layer) -> bool:
        """Return True if this rule matches a layer."""
        if self.match.startswith(KERAS):
            named = getattr(keras.layers, self.match.removeprefix(KERAS), None)  # MaxPool2D is MaxPooling2D
            return type(layer) is named or self.match == _keras_kind(layer)
        return fnmatchcase(path, self.match) or fnmatchcase(layer.name, self.match)


@dataclass(frozen=True)
class Step:
    """The conversion of one layer to another class, or, without a class, to a copy.

    Args:
        layer: the old layer.
        path: its path in the model.
        cls: class of the new layer; None for a copy.
        rule: the rule that applies, if any.
        successor: the layer that is fused into this one; empty if there is none.
    """

    layer: keras.layers.Layer
    path: str
    cls: type[QLayer] | None = None
    rule: Rule | None = None
    successor: tuple[keras.layers.Layer, ...] = ()

    def make(self, convert: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.layers.Layer:
        """Return the new layer, not built yet.

        Args:
            convert: converts the layers inside a wrapper.
        """
        if self.cls is None:
            return type(self.layer).from_config(self.layer.get_config())
        arguments = self.rule.arguments if self.rule else {}
        return self.cls.from_keras(self.layer, *self.successor, **arguments)

    def copy_weights(self, made: keras.layers.Layer) -> None:
        """Copy the weights of the old layer to the new one, which is built."""
        if is_operation(self.layer):
            return
        if isinstance(made, QLayer) and self.cls is not None:
            made.take_weights(self.layer, *self.successor)
        else:
            copy_weights(self.layer, made)


@dataclass(frozen=True)
class WrapperStep(Step):
    """The conversion of a wrapper; its sublayers have their own steps."""

    @override
    def make(self, convert: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.layers.Layer:
        """Return the same wrapper around the converted layers."""
        return rewrapped(self.layer, convert)

    @override
    def copy_weights(self, made: keras.layers.Layer) -> None:
        """Do nothing: the steps of the sublayers copy the weights."""


@dataclass(frozen=True)
class FusedAway(Step):
    """A layer that is fused into its predecessor; an identity takes its place in the graph."""

    @override
    def make(self, convert: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.layers.Layer:
        """Return an identity layer."""
        return keras.layers.Activation("linear", name=self.layer.name)

    @override
    def copy_weights(self, made: keras.layers.Layer) -> None:
        """Do nothing: the step of the predecessor copies the weights."""


@preserve_rng()
def quantize_model(model: keras.Model, rules: Rules = (), bits: int | None = BITS) -> keras.Model:
    """Convert a plain Keras model to quantized layers, with the same graph and weights.

    The first rule that matches decides what becomes of a layer; without one it becomes the kind of the same name:
    `keras.Dense` becomes `dense`. A convolution, Dense or EinsumDense and the BatchNormalization of its channels that
    directly follows, and alone takes its output, become one layer, such as `conv2d_batch_norm`. Elsewhere, behind an
    activation, of another axis, trained without the layer in front, or by a rule of its own, the normalization stays a
    layer. A rule with a kind that fuses the following layer, such as `dense_batch_norm`, is refused where it cannot.

    Operations on tensors, such as `x + y`, become layers; where one takes raw inputs, or would give more bits than a
    float32 holds, layers `<name>_quantize` come before it. An activation inside a layer that needs a table, such as
    `tanh`, becomes a separate layer after it, named after it with the suffix `_activation`. The layers inside
    TimeDistributed and Bidirectional are converted.
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
        The new model, not compiled.

    Raises:
        ConfigError: a rule converts no layer, arguments do not fit, a layer cannot be converted, or `bits` is not a
            width.

    Example:
        >>> quantize_model(model, [{"match": "keras.Dense", "kernel_quantizer": {"kind": "kbi", "b": 6}}])
    """
    read = list(_read(rules))
    model = with_graph(model, "quantize_model")
    tabled = {id(layer) for path, layer in _layers(model) if _needs_table(layer, path, read)}
    model = separated(model, lambda layer: id(layer) in tabled)
    steps = _fuse(model, {id(layer): _step(layer, path, read) for path, layer in _layers(model)})
    _check_use(read, list(steps.values()))
    made: dict[int, keras.layers.Layer] = {}
    operations: set[int] = set()
    operands = OperandQuantizers()

    def convert(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return clone(layer)
        if id(layer) not in steps:  # an operation of a mask
            return layer
        if id(layer) in made:  # shared by two models
            return made[id(layer)]
        step = steps[id(layer)]
        with with_surroundings(model, layer, unfused=bool(step.cls and step.cls.fuses and not step.successor)):
            new = made[id(layer)] = step.make(convert)
        if is_operation(layer):
            operations.add(id(new))
        made.update({id(old): each for old, each in _inside(layer, new)})  # Bidirectional copies what it gets
        return new

    def apply(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return operands.apply(layer, args, kwargs) if id(layer) in operations else _apply(layer, *args, **kwargs)

    @functools.cache  # a nested model that is applied twice stays one model
    def clone(model: keras.Model) -> keras.Model:
        applied = {} if isinstance(model, keras.Sequential) else {"call_function": apply}
        return keras.models.clone_model(model, clone_function=convert, **applied)

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


def _read(rules: Rules) -> Iterator[Rule]:
    entries = [{"match": match, **rest} for match, rest in rules.items()] if isinstance(rules, Mapping) else rules
    for index, entry in enumerate(entries):
        with as_config_error("quantize_model"), at_path("rules", index):
            if not isinstance(entry, Mapping):
                raise validation_errors([((), f"must be a mapping with `match`. Received: {entry!r}.")])
            head = _Head.model_validate({name: entry[name] for name in _Head.model_fields if name in entry})
        arguments = {name: value for name, value in entry.items() if name not in _Head.model_fields}
        yield Rule(f"rules.{index}", head.match, head.kind, arguments)


def _layers(layer: keras.layers.Layer, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield the layers and operations inside a model or a wrapper, at any depth, with their paths, but no models."""
    inside = [*layer.layers, *operations_of(layer)] if isinstance(layer, keras.Model) else sublayers(layer)
    for each in inside:
        path = prefix + each.name
        if not isinstance(each, keras.Model | keras.layers.InputLayer):
            yield path, each
        yield from _layers(each, f"{path}/")


def _rule(layer: keras.layers.Layer, path: str, rules: list[Rule]) -> Rule | None:
    return next((rule for rule in rules if rule.matches(path, layer)), None)


def _needs_table(layer: keras.layers.Layer, path: str, rules: list[Rule]) -> bool:
    """Return True if a layer's activation must become a separate layer with a table after it."""
    activation = getattr(layer, "activation", None)
    if isinstance(layer, QLayer) or activation in (None, *map(ACTIVATIONS.resolve, EXACT_ACTIVATIONS)):
        return False
    rule = _rule(layer, path, rules)
    kind = rule.kind if rule and rule.kind else _quantized_kind(layer, path)
    if kind is None or kind.startswith(KERAS) or (rule and "activation" in rule.arguments):
        return False
    parameter = parameters(registry().load("layers", kind, path)).get("activation")
    return parameter is not None and ACTIVATIONS in getattr(parameter.annotation, "__metadata__", ())


def _step(layer: keras.layers.Layer, path: str, rules: list[Rule]) -> Step:
    rule = _rule(layer, path, rules)
    if _is_quantized(layer):
        return Step(layer, path)
    if rule is not None and rule.kind is not None:
        return _by_kind(layer, path, rule, rule.kind)
    adapter = adapter_of(layer)
    kept = rule is None and adapter is not None and adapter.keeps(layer)
    kind = None if kept else _quantized_kind(layer, path)
    if is_operation(layer):
        check_convertible(layer, "quantize_model")
    if kind is not None:
        return Step(layer, path, registry().load("layers", kind), rule)
    if adapter is None:
        raise _unsupported(layer, path)
    if adapter.sublayers(layer):
        return WrapperStep(layer, path)
    try:
        adapter.check(layer)
    except ExactnessError as error:
        quantized_kind = adapter.quantized_kind(layer)
        if quantized_kind is None:
            raise _unsupported(layer, path) from error
        return Step(layer, path, registry().load("layers", quantized_kind, f"quantize_model: {path}"), rule)
    return Step(layer, path)


def _fuse(model: keras.Model, steps: dict[int, Step]) -> dict[int, Step]:
    fused = dict(steps)
    for layer, successor in single_consumer_edges(model):
        step, after = steps.get(id(layer)), steps.get(id(successor))
        cls = _fused_class(step, after) if step and after else None
        if step and after and cls:
            fused[id(layer)] = replace(step, cls=cls, successor=(successor,))
            fused[id(successor)] = FusedAway(successor, after.path)
    return fused


def _fused_class(step: Step, after: Step) -> type[QLayer] | None:
    """Return the class that two layers become together: by a rule, or where rules leave both to `quantize_model`."""
    kind = _keras_kind(after.layer)
    if step.cls is None or (step.cls.fuses and step.cls.fuses == kind):
        return step.cls
    by_rule = step.rule is not None and step.rule.kind is not None
    if by_rule or after.rule not in (None, step.rule):
        return None
    return fused_class(step.cls, step.layer, after.layer, kind, step.rule.arguments if step.rule else ())


def _by_kind(layer: keras.layers.Layer, path: str, rule: Rule, kind: str) -> Step:
    where = f"quantize_model: {rule.place}"
    if kind.startswith(KERAS):
        if kind != _keras_kind(layer) or rule.arguments:
            raise ConfigError(
                f"{where}: {path} is a {_keras_kind(layer) or type(layer).__name__}, which a kind of Keras can only "
                f"keep. Received: kind={kind!r}, arguments {listing(rule.arguments)}."
            )
        return Step(layer, path, rule=rule)
    return Step(layer, path, registry().load("layers", kind, where), rule)


def _quantized_kind(layer: keras.layers.Layer, path: str) -> str | None:
    kinds = [each for each in registry().names("layers") if not each.startswith(KERAS)]
    known = [each.partition(".")[2] for each in kinds]
    if is_operation(layer):
        return registry().resolve("layers", OPERATION_LAYER) if adapter_of(layer) is not None else None
    name = _keras_kind(layer) and quantized_name(type(layer).__name__, known, adapter_of(layer) is not None)
    if not name:
        return None
    # A foreign plugin's kind of the same name is used only by a rule.
    ours = next((each for each in kinds if is_official(each) and each.endswith(f".{name}")), name)
    return registry().resolve("layers", ours, f"quantize_model: {path}")


def _keras_kind(layer: keras.layers.Layer) -> str | None:
    if is_operation(layer):
        return f"{KERAS}{OPS}{operation_of(layer)}"
    cls = type(layer)
    # A few are public under another name than that of the class, such as GroupQueryAttention.
    names = (cls.__name__, *vars(keras.layers))
    return next((f"{KERAS}{name}" for name in names if getattr(keras.layers, name, None) is cls), None)


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
            classes = {kind for step in steps if (kind := _keras_kind(step.layer))}
            raise ConfigError(
                f"{start}none is of this name or class. Received: match={rule.match!r}. Allowed: {listing(names)}; "
                f"{listing(classes)}.{nearest(rule.match, [*names, *classes])}"
            )


def _why_unused(step: Step) -> str:
    """Return why a rule that matches a layer does not convert it."""
    if _is_quantized(step.layer):
        return "is already quantized, and is kept"
    if step.rule is not None:
        return f"is converted by {step.rule.place}, which comes before"
    if isinstance(step, WrapperStep):
        return "is a wrapper: match the layers inside it"
    return "is exact, and is kept; a rule with a `kind` converts it"


def _is_quantized(layer: Any) -> bool:
    return isinstance(layer, QLayer | Quantizer)


def _unsupported(layer: Any, path: str) -> ConfigError:
    name, kept = type(layer).__name__, _keras_kind(layer) or "keras.<Layer>"
    kinds = {kind.rpartition(".")[2]: kind for kind in registry().names("layers") if not kind.startswith(KERAS)}
    refusal = REFUSED.get(kept.removeprefix(KERAS), NOT_YET)
    why = "" if refusal is NOT_YET else f" ({refusal.reason}: {refusal.remedy})"
    return ConfigError(
        f"quantize_model: {path}: {name} has no quantized form of its name, and no exact arithmetic{why}. Write a "
        f"rule for it, with the kind of a quantized layer (`hgq2 list layers`), or kind {kept!r}, which keeps it in "
        f"floats.{nearest(snake(name), kinds)}"
    )
