"""The module of a package that implements its operations on the running backend."""

from __future__ import annotations

import importlib
from types import ModuleType

import keras

from hgq2_core.discovery.backends import BACKENDS
from hgq2_core.errors import PluginError, listing


def backend_module(package: str) -> ModuleType:
    """Import the module of a package that is named after the running backend.

    Args:
        package: full name of a package with the modules `torch`, `jax` and `tensorflow`.

    Raises:
        PluginError: Keras runs on a backend that is not supported.
    """
    name = keras.backend.backend()
    if name not in BACKENDS:
        raise PluginError(
            f"{package}: no operations for this Keras backend. Received: {name!r}. Allowed: {listing(BACKENDS)}. "
            "Set KERAS_BACKEND before Keras is imported."
        )
    return importlib.import_module(f"{package}.{name}")
