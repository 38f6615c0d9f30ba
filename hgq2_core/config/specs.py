"""Specs of objects in a config: a kind and its arguments, checked against the schema of the kind."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from hgq2_core.discovery.loading import singular
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import KindError, nearest
from hgq2_core.quantizers.config import QuantizerConfig
from hgq2_core.quantizers.defaults import BIT_LEARNING_RATE_SCALE
from hgq2_core.schema.base import (
    StrictModel,
    as_config_error,
    as_text,
    at_path,
    reference,
    unknown,
    validation_error,
    validation_errors,
)
from hgq2_core.schema.keras_callbacks import check_callback
from hgq2_core.schema.keras_layers import snake
from hgq2_core.schema.keras_objects import (
    class_by_name,
    in_present_names,
    is_keras_kind,
    is_of_keras,
    keras_class,
    keras_kinds,
    keras_parameters,
    make,
    validate_by_construction,
)
from hgq2_core.schema.signature import schema_of
from hgq2_core.schema.versions import VERSION, migrated, version_entry

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]*")


def check_name(name: Any) -> str:
    """Return a name, or refuse it if file names, Keras or torch (which allows no dot) do not support it."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise validation_error(
            "a name begins with a letter or digit and goes on with letters, digits, `_` and `-`. "
            f"Received: {as_text(name)}."
        )
    return name


Name = Annotated[str, AfterValidator(check_name)]


@dataclass(frozen=True)
class ObjectSpec:
    """A kind and its arguments, checked against the kind's schema.

    Args:
        kind: the full kind.
        arguments: its arguments, as plain data.
    """

    kind: str
    arguments: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"kind": self.kind, **self.arguments}


def construct(group: str, spec: ObjectSpec, **more: Any) -> Any:
    """Construct the object that a spec describes.

    Args:
        group: `layers`, `datasets` or `callbacks`.
        spec: the kind and its arguments.
        more: additional arguments.
    """
    arguments = {**copy.deepcopy(dict(spec.arguments)), **more}
    if is_keras_kind(spec.kind):
        with as_config_error(spec.kind):
            return make(keras_class(group, spec.kind), arguments)
    cls = registry().load(group, spec.kind)
    return cls(**migrated(cls, spec.kind, arguments))


class Kinds:
    """Annotation that validates a spec of a registered kind.

    Args:
        group: `layers`, `datasets` or `callbacks`.
    """

    def __init__(self, group: str) -> None:
        self.group = group

    def split(self, value: Any) -> tuple[str, dict[str, Any]]:
        """Split a value into the kind and a copy of the arguments, since a config must not change later."""
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping):
            what = singular(self.group)
            raise validation_error(f"must be a kind of {what}, or a mapping with `kind`. Received: {as_text(value)}.")
        arguments = copy.deepcopy(dict(value))
        kind = arguments.pop("kind", None)
        if not isinstance(kind, str):
            raise validation_error(f"`kind` must be the name of a {singular(self.group)}. Received: {as_text(value)}.")
        return kind, arguments

    def validate(self, value: Any) -> Any:
        """Resolve the kind, and check the arguments against its schema."""
        return value if isinstance(value, ObjectSpec) else ObjectSpec(*self.check(*self.split(value)))

    def check(self, kind: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Check arguments against the kind's schema.

        Args:
            kind: full or short.
            arguments: without the kind.

        Returns:
            The full kind, and the arguments with their schema version, in which quantizers have their full kind.
        """
        with at_path():
            full = self.resolve(kind)
            if is_keras_kind(full):
                check_callback(full, arguments)
                validate_by_construction(keras_class(self.group, full), arguments)
                return full, arguments
            cls: type = registry().load(self.group, full)
            arguments = migrated(cls, full, arguments)
            checked = schema_of(cls).model_validate(arguments)
            self.construct(cls, arguments)
            arguments = {name: _with_full_kinds(getattr(checked, name), value) for name, value in arguments.items()}
            return full, {**version_entry(cls), **arguments}

    def resolve(self, kind: str) -> str:
        """Find the full kind."""
        if is_keras_kind(kind):
            return kind
        if f"keras.{kind}" in keras_kinds(self.group):
            # Also if an adapter is registered under that name, since it is not a layer.
            names = [name.partition(".")[2] for name in registry().names(self.group) if not is_keras_kind(name)]
            ours = [name for name in names if name == snake(kind)]
            raise KindError(
                f"unknown {singular(self.group)} kind. Received: {kind!r}. "
                f"Keras' own have a prefix: {f'keras.{kind}'!r}.{nearest(snake(kind), ours)}"
            )
        return registry().resolve(self.group, kind)

    def construct(self, cls: type, arguments: Mapping[str, Any]) -> None:
        """Call the constructor, which checks what the schema cannot."""
        try:
            cls(**arguments)
        except (ValueError, TypeError) as error:
            raise validation_error(error) from error

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda spec: spec.to_dict())
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return reference(singular(self.group))


class KerasKinds(Kinds):
    """Annotation that validates a spec of a Keras class, or of a kind of a plugin that stands beside those.

    Args:
        group: the Keras module, such as `optimizers`.
        extra: schema of the arguments that this project adds.
        strings: names that Keras resolves when it compiles.
    """

    def __init__(self, group: str, extra: type[StrictModel] = StrictModel, strings: tuple[str, ...] = ()) -> None:
        super().__init__(group)
        self.extra = extra
        self.strings = strings

    @override
    def check(self, kind: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Find the class, and let its constructor check the arguments.

        Args:
            kind: in Keras' spelling or in snake case, or a kind of a plugin.
            arguments: without the kind.

        Returns:
            The kind, in full if it is a plugin's, and the arguments; those of a plugin with their schema version.
        """
        if kind in self.strings and not arguments:
            return kind, arguments
        with at_path():
            extra, own = self._split_arguments(arguments)
            kind, own = in_present_names(self.group, kind, own)
            cls = class_by_name(self.group, kind)
            allowed = [*keras_parameters(cls), *self.extra.model_fields]
            versioned = () if is_of_keras(cls) else (VERSION,)
            unexpected = [name for name in own if name not in (*allowed, *versioned)]
            if unexpected:
                raise validation_errors(((), unknown(name, allowed, "argument")) for name in unexpected)
            self.extra.model_validate(extra)
            validate_by_construction(cls, own)
            return kind, {**own, **extra}

    def make(self, spec: ObjectSpec) -> Any:
        """Construct the object that a spec describes."""
        if spec.kind in self.strings and not spec.arguments:
            return spec.kind
        with as_config_error(spec.kind):
            return make(class_by_name(self.group, spec.kind), self._split_arguments(spec.arguments)[1])

    def _split_arguments(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        extra = {name: value for name, value in arguments.items() if name in self.extra.model_fields}
        return extra, {name: value for name, value in arguments.items() if name not in extra}


class OptimizerExtra(StrictModel):
    """Arguments of an optimizer in addition to those of Keras.

    Args:
        bit_learning_rate_scale: learning rate of the bit variables, as a multiple of that of the weights.
    """

    bit_learning_rate_scale: Annotated[float, Field(gt=0, le=1e6)] = BIT_LEARNING_RATE_SCALE


OPTIMIZERS = KerasKinds("optimizers", OptimizerExtra)
LOSSES = KerasKinds("losses")
SCHEDULES = KerasKinds("optimizers.schedules")
METRICS = KerasKinds("metrics", strings=("accuracy", "acc", "crossentropy", "ce"))


def _with_full_kinds(checked: Any, given: Any) -> Any:
    if isinstance(checked, QuantizerConfig) and registry().kind_of("quantizers", type(checked)):
        return checked.to_dict(only_set=True)
    return given
