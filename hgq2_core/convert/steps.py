"""What becomes of each layer of a model that `quantize_model` converts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
from typing_extensions import override

from hgq2_core.convert.fusion import fused_class
from hgq2_core.convert.operation_layers import FEW_BITS, check_convertible
from hgq2_core.convert.rules import Rule, keras_kind, rule_for
from hgq2_core.discovery.known_plugins import OPERATION_LAYER, is_official
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, ExactnessError, listing, nearest
from hgq2_core.keras_graph.traversal import single_consumer_edges
from hgq2_core.layers.adapters import adapter_of, rewrapped
from hgq2_core.layers.arguments import ACTIVATIONS, EXACT_ACTIVATIONS
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.operations import is_operation
from hgq2_core.layers.transfer import copy_weights
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.schema.keras_layers import KERAS, quantized_name, snake
from hgq2_core.schema.refused_layers import NOT_YET, REFUSED
from hgq2_core.schema.signature import parameters


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


def step_of(layer: keras.layers.Layer, path: str, rules: list[Rule]) -> Step:
    """Return what becomes of a layer: by a rule, else by an adapter that keeps it, else by its name.

    Raises:
        ConfigError: no rule applies, and the layer has neither a quantized form nor exact arithmetic.
    """
    rule = rule_for(layer, path, rules)
    if is_quantized(layer):
        return Step(layer, path)
    if rule is not None and rule.kind is not None:
        return _by_kind(layer, path, rule, rule.kind)
    adapter = adapter_of(layer)
    kept = rule is None and adapter is not None and adapter.keeps(layer)
    kind = None if kept else _quantized_kind(layer, path)
    if is_operation(layer):
        check_convertible(layer, "quantize_model", FEW_BITS)
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


def fuse(model: keras.Model, steps: dict[int, Step]) -> dict[int, Step]:
    """Return the steps after fusion: a layer and its only consumer become one, where a class fuses the two.

    Args:
        model: whose graph says what follows what.
        steps: by the identity of the layer.
    """
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
    kind = keras_kind(after.layer)
    if step.cls is None or (step.cls.fuses and step.cls.fuses == kind):
        return step.cls
    by_rule = step.rule is not None and step.rule.kind is not None
    if by_rule or after.rule not in (None, step.rule):
        return None
    return fused_class(step.cls, step.layer, after.layer, kind, step.rule.arguments if step.rule else ())


def _by_kind(layer: keras.layers.Layer, path: str, rule: Rule, kind: str) -> Step:
    where = f"quantize_model: {rule.place}"
    if kind.startswith(KERAS):
        if kind != keras_kind(layer) or rule.arguments:
            raise ConfigError(
                f"{where}: {path} is a {keras_kind(layer) or type(layer).__name__}, which a kind of Keras can only "
                f"keep. Received: kind={kind!r}, arguments {listing(rule.arguments)}."
            )
        return Step(layer, path, rule=rule)
    return Step(layer, path, registry().load("layers", kind, where), rule)


def _quantized_kind(layer: keras.layers.Layer, path: str) -> str | None:
    kinds = [each for each in registry().names("layers") if not each.startswith(KERAS)]
    known = [each.partition(".")[2] for each in kinds]
    if is_operation(layer):
        return registry().resolve("layers", OPERATION_LAYER) if adapter_of(layer) is not None else None
    name = keras_kind(layer) and quantized_name(type(layer).__name__, known, adapter_of(layer) is not None)
    if not name:
        return None
    # A foreign plugin's kind of the same name is used only by a rule.
    ours = next((each for each in kinds if is_official(each) and each.endswith(f".{name}")), name)
    return registry().resolve("layers", ours, f"quantize_model: {path}")


def needs_table(layer: keras.layers.Layer, path: str, rules: list[Rule]) -> bool:
    """Return True if a layer's activation must become a separate layer with a table after it."""
    activation = getattr(layer, "activation", None)
    if isinstance(layer, QLayer) or activation in (None, *map(ACTIVATIONS.resolve, EXACT_ACTIVATIONS)):
        return False
    rule = rule_for(layer, path, rules)
    kind = rule.kind if rule and rule.kind else _quantized_kind(layer, path)
    if kind is None or kind.startswith(KERAS) or (rule and "activation" in rule.arguments):
        return False
    parameter = parameters(registry().load("layers", kind, path)).get("activation")
    return parameter is not None and ACTIVATIONS in getattr(parameter.annotation, "__metadata__", ())


def is_quantized(layer: Any) -> bool:
    """Return True if a layer is quantized already."""
    return isinstance(layer, QLayer | Quantizer)


def _unsupported(layer: Any, path: str) -> ConfigError:
    name, kept = type(layer).__name__, keras_kind(layer)
    kinds = {kind.rpartition(".")[2]: kind for kind in registry().names("layers") if not kind.startswith(KERAS)}
    refusal = REFUSED.get(kept.removeprefix(KERAS), NOT_YET) if kept else NOT_YET
    why = "" if refusal is NOT_YET else f" ({refusal.reason}: {refusal.remedy})"
    or_else = (
        f", or kind {kept!r}, which keeps it in floats"
        if kept
        else ", which a plugin may add for this class (docs/extending); or make it of layers of Keras in its `call`, "
        "without weights of its own"
    )
    return ConfigError(
        f"quantize_model: {path}: {name} has no quantized form of its name, and no exact arithmetic{why}. Write a "
        f"rule for it, with the kind of a quantized layer (`hgq2 list layers`){or_else}."
        f"{nearest(snake(name), kinds) or registry().not_installed('layers')}"
    )
