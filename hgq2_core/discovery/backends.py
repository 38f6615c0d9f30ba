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


def no_backend(what: str) -> PluginError:
    """Return the error of something that needs a backend, where none is installed.

    Args:
        what: the subject of the sentence.
    """
    return PluginError(
        f"{what} needs a Keras backend, and none of {', '.join(BACKENDS)} is installed: "
        f"{install_hint('hgq2-core[torch]')}"
    )


def lacks_backend(error: BaseException) -> bool:
    """Return True if an import failed since no backend is installed, and Keras looks for its own default."""
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return missing in BACKENDS and not os.environ.get("KERAS_BACKEND")


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
