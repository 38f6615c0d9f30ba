"""Entries of a config: a kind and its arguments, checked against what the kind takes."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hgq2_core.discovery.registry import registry
from hgq2_core.errors import KindError, nearest
from hgq2_core.quantizers.config import QuantizerConfig
from hgq2_core.schema.base import Strict, below, describe, explained, findings, reference, refuse, unknown
from hgq2_core.schema.keras_layers import snake
from hgq2_core.schema.keras_objects import (
    is_keras_kind,
    keras_class,
    keras_kinds,
    make,
    named_class,
    parameters,
    singular,
    try_out,
)
from hgq2_core.schema.signature import schema_of

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]*")


def check_name(name: Any) -> str:
    """Refuse what a file name, Keras or torch, which takes no dot, cannot hold."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise refuse(
            "a name begins with a letter or digit and goes on with letters, digits, `_` and `-`. "
            f"Received: {describe(name)}."
        )
    return name


Name = Annotated[str, AfterValidator(check_name)]


@dataclass(frozen=True)
class Entry:
    """A kind and its arguments, checked against the kind's schema.

    Args:
        kind: the full kind.
        arguments: what the config gives, as plain data.
    """

    kind: str
    arguments: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"kind": self.kind, **self.arguments}


def construct(sort: str, entry: Entry, **more: Any) -> Any:
    """Construct what an entry names.

    Args:
        sort: `layers`, `datasets` or `callbacks`.
        entry: the kind and its arguments.
        more: further arguments.
    """
    arguments = {**copy.deepcopy(dict(entry.arguments)), **more}
    if is_keras_kind(entry.kind):
        with explained(entry.kind):
            return make(keras_class(sort, entry.kind), arguments)
    return registry().load(sort, entry.kind)(**arguments)


class Kinds:
    """Annotation of an entry that names a registered kind of a sort.

    Args:
        sort: `layers`, `datasets` or `callbacks`.
    """

    def __init__(self, sort: str) -> None:
        self.sort = sort

    def split(self, value: Any) -> tuple[str, dict[str, Any]]:
        """Tell the kind from its arguments, which are copied: a config never changes afterwards."""
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping):
            what = singular(self.sort)
            raise refuse(f"must be a kind of {what}, or a mapping with `kind`. Received: {describe(value)}.")
        arguments = copy.deepcopy(dict(value))
        kind = arguments.pop("kind", None)
        if not isinstance(kind, str):
            raise refuse(f"`kind` must be the name of a {singular(self.sort)}. Received: {describe(value)}.")
        return kind, arguments

    def validate(self, value: Any) -> Any:
        """Resolve the kind, and check the arguments against its schema."""
        return value if isinstance(value, Entry) else Entry(*self.check(*self.split(value)))

    def check(self, kind: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Check arguments against the kind's schema.

        Args:
            kind: full or short.
            arguments: without the kind.

        Returns:
            The full kind, and the arguments with the kinds of quantizers in full.
        """
        with below():
            full = self.resolve(kind)
            if is_keras_kind(full):
                try_out(keras_class(self.sort, full), arguments)
                return full, arguments
            cls: type = registry().load(self.sort, full)
            checked = schema_of(cls).model_validate(arguments)
            self.construct(cls, arguments)
            return full, {name: _in_full(getattr(checked, name), value) for name, value in arguments.items()}

    def resolve(self, kind: str) -> str:
        """Find the full kind."""
        if is_keras_kind(kind):
            return kind
        if f"keras.{kind}" in keras_kinds(self.sort):
            # Also where an adapter is registered under that name, which is no layer.
            names = [name.partition(".")[2] for name in registry().names(self.sort) if not is_keras_kind(name)]
            ours = [name for name in names if name == snake(kind)]
            raise KindError(
                f"unknown {singular(self.sort)} kind. Received: {kind!r}. "
                f"Keras' own have a prefix: {f'keras.{kind}'!r}.{nearest(snake(kind), ours)}"
            )
        return registry().resolve(self.sort, kind)

    def construct(self, cls: type, arguments: Mapping[str, Any]) -> None:
        """Let the constructor check what the schema does not say."""
        try:
            cls(**arguments)
        except (ValueError, TypeError) as error:
            raise refuse(error) from error

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda entry: entry.to_dict())
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return reference(singular(self.sort))


class KerasKinds(Kinds):
    """Annotation of an entry that names one of Keras' own classes.

    Args:
        sort: the Keras module, such as `optimizers`.
        extra: schema of the arguments that are ours.
        strings: names that Keras resolves by itself when it compiles.
    """

    def __init__(self, sort: str, extra: type[Strict] = Strict, strings: tuple[str, ...] = ()) -> None:
        super().__init__(sort)
        self.extra = extra
        self.strings = strings

    def check(self, kind: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Find the class, and check the arguments by its constructor.

        Args:
            kind: in Keras' spelling or in snake case.
            arguments: without the kind.

        Returns:
            Both as they are.
        """
        if kind in self.strings and not arguments:
            return kind, arguments
        with below():
            cls = named_class(self.sort, kind)
            allowed = [*parameters(cls), *self.extra.model_fields]
            strangers = [name for name in arguments if name not in allowed]
            if strangers:
                raise findings(((), unknown(name, allowed, "argument")) for name in strangers)
            own, keras_own = self._split_arguments(arguments)
            self.extra.model_validate(own)
            try_out(cls, keras_own)
        return kind, arguments

    def make(self, entry: Entry) -> Any:
        """Construct what the entry names."""
        if entry.kind in self.strings and not entry.arguments:
            return entry.kind
        with explained(entry.kind):
            return make(named_class(self.sort, entry.kind), self._split_arguments(entry.arguments)[1])

    def _split_arguments(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        own = {name: value for name, value in arguments.items() if name in self.extra.model_fields}
        return own, {name: value for name, value in arguments.items() if name not in own}


class OptimizerExtra(Strict):
    """What an optimizer takes besides Keras' arguments.

    Args:
        bit_learning_rate_scale: how much larger the steps of bit variables are.
    """

    bit_learning_rate_scale: Annotated[float, Field(gt=0, le=1e6)] = 1.0


OPTIMIZERS = KerasKinds("optimizers", OptimizerExtra)
LOSSES = KerasKinds("losses")
METRICS = KerasKinds("metrics", strings=("accuracy", "acc", "crossentropy", "ce"))


def _in_full(checked: Any, given: Any) -> Any:
    if isinstance(checked, QuantizerConfig) and registry().kind_of("quantizers", type(checked)):
        return checked.to_dict(only_set=True)
    return given
