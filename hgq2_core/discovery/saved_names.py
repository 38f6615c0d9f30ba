"""The names under which Keras saves losses, metrics, optimizers and schedules of plugins.

A model file holds the kind in the registered name, such as `acme.losses>huberish`. In a process that has not used the
kind yet, a stand-in has the name and loads the class when a file asks for it.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import wrapt

from hgq2_core.discovery.loading import NAMED_GROUPS

_SAVED = re.compile(rf"([a-z][a-z0-9_]*)\.({'|'.join(NAMED_GROUPS)})>([a-z][a-z0-9_]*)")


class Kinds(Protocol):
    """What is installed; see `hgq2_core.discovery.registry.Registry`."""

    def names(self, group: str) -> tuple[str, ...]:
        """Return the full kinds of a group."""

    def load(self, group: str, name: str, where: str = "") -> type[Any]:
        """Return the class of a kind."""


def saved_kind(name: object) -> tuple[str, str] | None:
    """Return group and full kind of a registered name; None for any other name."""
    match = _SAVED.fullmatch(name) if isinstance(name, str) else None
    return (match[2], f"{match[1]}.{match[3]}") if match else None


def register_class(group: str, kind: str, cls: type[Any]) -> None:
    """Have Keras save the objects of a class under its kind; classes of other groups have names of their own.

    Args:
        group: of the kind.
        kind: the full kind.
        cls: its class, which Keras and no stand-in is asked for from now on.
    """
    if group not in NAMED_GROUPS or not hasattr(cls, "get_config"):
        return
    import keras

    keras.saving.register_keras_serializable(*_package_and_name(group, kind))(cls)


def register_names(kinds: Kinds) -> None:
    """Give Keras a stand-in for each installed kind, at once or when Keras is imported.

    Args:
        kinds: what is installed.
    """
    stand_ins = {
        ">".join(_package_and_name(group, kind)): _stand_in(kinds, group, kind)
        for group in NAMED_GROUPS
        for kind in kinds.names(group)
    }

    @wrapt.when_imported("keras")
    def register(keras: Any) -> None:
        for name, stand_in in stand_ins.items():
            keras.saving.get_custom_objects().setdefault(name, stand_in)


def _package_and_name(group: str, kind: str) -> tuple[str, str]:
    plugin, _, name = kind.partition(".")
    return f"{plugin}.{group}", name


def _stand_in(kinds: Kinds, group: str, kind: str) -> type:
    class StandIn:
        """Stand in for the class of a kind until a file names it."""

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            """Let the class rebuild the object."""
            return kinds.load(group, kind).from_config(config)

    return StandIn
