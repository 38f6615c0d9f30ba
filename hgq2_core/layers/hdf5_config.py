"""The config of a layer in Keras' legacy HDF5 format, whose reader drops and changes values at the top level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ARGUMENTS = "hgq2>arguments"
"""No argument has this name."""

TOP_LEVEL = ("kind", "name")
"""What stays where Keras looks; it changes neither."""


def hdf5_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config whose values the legacy reader leaves alone.

    At the top level that reader turns a text into the function of this name (`subtract`), and drops an `axis` that is a
    list. It does neither below.
    """
    top = {name: config[name] for name in TOP_LEVEL if name in config}
    return {**top, ARGUMENTS: {name: _plain(value) for name, value in config.items() if name not in top}}


def flat_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config as `get_config` gives it, whatever format it was saved in."""
    rest = {name: value for name, value in config.items() if name != ARGUMENTS}
    return {**rest, **config.get(ARGUMENTS, {})}


def _plain(value: Any) -> Any:
    """Replace the lists and mappings in which Keras tracks layers: copies of a config would copy those."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, Mapping) else value
