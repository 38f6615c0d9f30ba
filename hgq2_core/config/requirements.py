"""The distributions that a config needs, pinned to what is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

import keras
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from hgq2_core.config.model import ModelConfig
from hgq2_core.config.resolved import resolved
from hgq2_core.discovery.loading import CORE, KERAS
from hgq2_core.discovery.registry import registry

TRAIN = "train"
"""The command that a config with a `training` section is for."""


def distributions(config: ModelConfig) -> list[str]:
    """Return the distributions that a config names: the core, its plugins, Keras and the backend.

    Args:
        config: the config.
    """
    kinds = {kind.partition(".")[0] for kind in _kinds(resolved(config, config.build(exact=False)))}
    if config.training is not None:
        kinds |= {name.partition(".")[0] for name in registry().names("commands") if name.partition(".")[2] == TRAIN}
    plugins = [plugin.distribution for plugin in registry().plugins if plugin.name in kinds and plugin.distribution]
    return [CORE, *plugins, KERAS, keras.backend.backend()]


def pinned(names: list[str]) -> list[str]:
    """Return distributions and all that they require, as pip reads them: `name==version`, sorted.

    What is not installed, such as a dependency for another platform, is left out. Optional dependencies are pinned only
    where something else requires them.

    Args:
        names: of the distributions.
    """
    found: dict[str, str] = {}
    waiting = [Requirement(name) for name in names]
    seen: dict[str, set[str]] = {}
    while waiting:
        wanted = waiting.pop()
        try:
            distribution = metadata.distribution(wanted.name)
        except metadata.PackageNotFoundError:
            continue
        name = canonicalize_name(wanted.name)
        # Without the local part, such as `+cpu`: no index has it.
        found[name] = f"{name}=={Version(distribution.version).public}"
        required = [Requirement(text) for text in distribution.requires or ()]
        for extra in {"", *wanted.extras} - seen.get(name, set()):
            seen.setdefault(name, set()).add(extra)
            waiting += [each for each in required if _applies(each, extra)]
    return sorted(found.values())


def _applies(required: Requirement, extra: str) -> bool:
    return required.marker is None or required.marker.evaluate({"extra": extra})


def _kinds(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        kind = value.get("kind")
        if isinstance(kind, str) and "." in kind:
            yield kind
        for item in value.values():
            yield from _kinds(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _kinds(item)
