"""Schema versions: the arguments of a kind as an earlier version of its plugin named them.

A class whose arguments change in name or meaning counts its `schema_version` up, and its classmethod
`migrate(arguments, version)` brings those of an earlier version to the present names. What is written (model files, run
directories) says its version from the second on; arguments without one are of the first, or written by hand in the
present names. So `migrate` changes what it finds and leaves the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hgq2_core.errors import ConfigError, PluginError

VERSION = "schema_version"


def version_of(cls: type[Any]) -> int:
    """Return the version of a class's arguments; 1 if it does not say."""
    return int(getattr(cls, VERSION, 1))


def version_entry(cls: type[Any]) -> dict[str, int]:
    """Return what files hold beside arguments in the present names of a class: nothing for the first version."""
    version = version_of(cls)
    return {VERSION: version} if version > 1 else {}


def migrated(cls: type[Any], kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments in the present names of a class, without their version.

    Args:
        cls: the class of the kind.
        kind: the full kind, for messages.
        arguments: plain data, as a file or a config has them.

    Raises:
        ConfigError: the version is none of this class.
        PluginError: `migrate` is missing, or fails.
    """
    arguments, current = dict(arguments), version_of(cls)
    version = arguments.pop(VERSION, 1)
    if type(version) is not int or not 1 <= version <= current:
        newer = type(version) is int and version > current
        remedy = f" It was written by a newer version of the plugin: upgrade the one that offers {kind}." * newer
        allowed = f"1 to {current}" if current > 1 else "1"
        raise ConfigError(f"{VERSION} of {kind}. Received: {version!r}. Allowed: {allowed}.{remedy}")
    if version == current:
        return arguments
    if not hasattr(cls, "migrate"):
        raise PluginError(f"{kind}: {cls.__name__}.{VERSION} is {current}, and it defines no migrate().")
    try:
        return dict(cls.migrate(arguments, version))
    except Exception as error:
        raise PluginError(f"{kind}: {cls.__name__}.migrate() failed on version {version}: {error}") from error
