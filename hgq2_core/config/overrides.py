"""Changes to a config document from the command line: `training.epochs=10`."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from hgq2_core.config.yaml_document import parse_yaml
from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.schema.base import as_text


def overridden(document: Any, settings: Iterable[str]) -> Any:
    """Return a copy of a document with values set by dotted paths; the result is not checked yet.

    Args:
        document: plain data.
        settings: each `PATH=VALUE`. A step of the path is a key, or in a list an index or an item's name. The last may
            be a new key, which the schema checks later. The value is read as YAML.

    Raises:
        ConfigError: no `=`, a path that does not exist, or a value that is not YAML; the message names the setting.
    """
    document = copy.deepcopy(document)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not (path and equals):
            raise ConfigError(f"--set: must be PATH=VALUE, such as training.epochs=10. Received: {as_text(setting)}.")
        where = f"--set {path}"
        set_value(document, path, parse_yaml(text, where), where)
    return document


def set_value(document: Any, path: str, value: Any, where: str) -> None:
    """Set a value in a document, in place; the result is not checked yet.

    Args:
        document: plain data.
        path: its steps, with dots between; see `overridden`.
        value: plain data.
        where: what names the path, for messages.

    Raises:
        ConfigError: the path does not exist.
    """
    *parents, last = path.split(".")
    node = document
    for depth, step in enumerate(parents):
        node = node[_key(node, step, where, ".".join(parents[:depth]))]
    node[_key(node, last, where, ".".join(parents), new=True)] = value


def _key(node: Any, step: str, where: str, place: str, new: bool = False) -> Any:
    at = f"{where}: in {place}" if place else where
    if isinstance(node, dict):
        if step in node or new:
            return step
        close = nearest(step, node) or f" A new key is given whole: --set {place}{'.' * bool(place)}{step}='{{...}}'."
        raise ConfigError(f"{at}: no such key. Received: {step!r}. Allowed: {listing(node)}.{close}")
    if isinstance(node, list):
        names = {name: index for index, name in enumerate(map(_name, node)) if name is not None}
        if step in names:
            return names[step]
        if step.isdecimal() and int(step) < len(node):
            return int(step)
        known = f"an index below {len(node)}" + (f", or a name: {listing(names)}" if names else "")
        raise ConfigError(f"{at}: no such item. Received: {step!r}. Allowed: {known}.{nearest(step, names)}")
    raise ConfigError(f"{at}: holds a value, in which nothing can be set. Received: {step!r}.")


def _name(item: Any) -> str | None:
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else None  # nothing is checked yet
