"""The Keras backend: a default where the user chose none, and a check before Keras is imported."""

from __future__ import annotations

import importlib.util
import os

from hgq2_core.discovery.known_plugins import install_hint
from hgq2_core.errors import PluginError, nearest

BACKENDS = ("torch", "jax", "tensorflow")


def choose_backend() -> None:
    """Set `KERAS_BACKEND`, if it is unset, to the first supported backend that is installed, without importing it."""
    # Keras' own default is tensorflow, even where only torch is installed.
    if not os.environ.get("KERAS_BACKEND"):
        installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
        if installed:
            os.environ["KERAS_BACKEND"] = installed[0]


def check_backend() -> None:
    """Raise if the backend that KERAS_BACKEND names cannot be used; works before Keras is imported.

    Raises:
        PluginError: it is not supported, or not installed.
    """
    name = os.environ.get("KERAS_BACKEND")
    if not name or (name in BACKENDS and importlib.util.find_spec(name)):
        return
    if name not in BACKENDS:
        problem, remedy = "there is no such backend here.", nearest(name, BACKENDS)
    else:
        problem, remedy = "it is not installed.", f" Install it: {install_hint(f'hgq2-core[{name}]')}"
    raise PluginError(f"KERAS_BACKEND: {problem} Received: {name!r}. Allowed: {', '.join(BACKENDS)}.{remedy}")
