"""The rules for constructors that configs call, and a class of a kind with the arguments of its constructor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError
from hgq2_core.schema.base import as_text
from hgq2_core.schema.signature import schema_of
from hgq2_core.schema.versions import migrated
from hgq2_core.testing.rules import described, leaves_present_names, strict


class Constructed(Protocol):
    """What a config constructs."""

    @property
    def cls(self) -> type[Any]:
        """The class."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of its constructor."""


def kind_and_arguments(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the kind that a config names, and the arguments beside it.

    Args:
        config: as in a model file.

    Raises:
        ConfigError: it names no kind.
    """
    arguments = dict(config)
    kind = arguments.pop("kind", None)
    if not isinstance(kind, str):
        raise ConfigError(
            f"the conformance kit takes a config as in a model file, with `kind`. Received: {as_text(dict(config))}. "
            "Allowed: such as {'kind': 'acme.scale', 'units': 3}."
        )
    return kind, arguments


@dataclass(frozen=True)
class Configured:
    """A class of a kind and the arguments of its constructor.

    Args:
        cls: the class.
        arguments: the arguments.
    """

    cls: type[Any]
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, group: str, config: Mapping[str, Any]) -> Self:
        """Return those of a config.

        Args:
            group: of the kind.
            config: as in a model file: the kind and the arguments.

        Raises:
            KindError: no installed plugin has the kind.
        """
        kind, arguments = kind_and_arguments(config)
        found = registry().load(group, kind)
        return cls(found, migrated(found, kind, arguments))

    def make(self) -> Any:
        """Return a new object."""
        return self.cls(**self.arguments)


def is_strict(subject: Constructed) -> None:
    """A constructor refuses unknown arguments, text for numbers, and NaN."""
    strict(schema_of(subject.cls), subject.arguments)


def migrates(subject: Constructed) -> None:
    """From schema version 2 on, `migrate` takes arguments of every version, and leaves those in the present names."""
    leaves_present_names(subject.cls, subject.arguments)


def has_json_schema(subject: Constructed) -> None:
    """A constructor has a JSON schema with all its arguments."""
    described(schema_of(subject.cls))
