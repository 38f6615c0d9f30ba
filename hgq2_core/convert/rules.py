"""The rules of `quantize_model`: what a user says of layers by name or class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

import keras
from pydantic import Field

from hgq2_core.layers.adapters import OPS
from hgq2_core.layers.operations import is_operation, operation_of
from hgq2_core.schema.base import StrictModel, as_config_error, at_path, validation_errors
from hgq2_core.schema.keras_layers import KERAS

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
            return type(layer) is named or self.match == keras_kind(layer)
        return fnmatchcase(path, self.match) or fnmatchcase(layer.name, self.match)

    def replaces(self, layer: keras.layers.Layer) -> bool:
        """Return True if this rule names the kind that a layer becomes, wherever in the model it is."""
        return self.kind is not None and fnmatchcase(layer.name, self.match.rpartition("/")[2])


def read_rules(rules: Rules) -> Iterator[Rule]:
    """Yield the rules that a user has written.

    Raises:
        ConfigError: names the rule and its field.
    """
    entries = [{"match": match, **rest} for match, rest in rules.items()] if isinstance(rules, Mapping) else rules
    for index, entry in enumerate(entries):
        with as_config_error("quantize_model"), at_path("rules", index):
            if not isinstance(entry, Mapping):
                raise validation_errors([((), f"must be a mapping with `match`. Received: {entry!r}.")])
            head = _Head.model_validate({name: entry[name] for name in _Head.model_fields if name in entry})
        arguments = {name: value for name, value in entry.items() if name not in _Head.model_fields}
        yield Rule(f"rules.{index}", head.match, head.kind, arguments)


def rule_for(layer: keras.layers.Layer, path: str, rules: list[Rule]) -> Rule | None:
    """Return the first rule that matches a layer."""
    return next((rule for rule in rules if rule.matches(path, layer)), None)


def keras_kind(layer: keras.layers.Layer) -> str | None:
    """Return the kind of a layer or operation that is Keras' own, such as `keras.Dense`."""
    if is_operation(layer):
        return f"{KERAS}{OPS}{operation_of(layer)}"
    cls = type(layer)
    # A few are public under another name than that of the class, such as GroupQueryAttention.
    names = (cls.__name__, *vars(keras.layers))
    return next((f"{KERAS}{name}" for name in names if getattr(keras.layers, name, None) is cls), None)
