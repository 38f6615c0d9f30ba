"""The hooks that a plugin may implement: declarative mappings, so that listing kinds imports no backend.

Every hook is called once, when the registry is first used, and returns a mapping from the name of a kind (without the
prefix, which is the plugin's name) to `"module:Class"`. The class itself is imported when it is first needed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pluggy

PROJECT = "hgq2"
ENTRY_POINT_GROUP = "hgq2.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def hgq2_quantizers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Quantizer kinds: each class a `QuantizerConfig` whose module imports no backend."""


@hookspec
def hgq2_layers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Layer kinds: each class a `QLayer`; under `keras.<Layer>`, a `KerasAdapter` for that Keras layer."""


@hookspec
def hgq2_callbacks() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Callback kinds: each class a `keras.callbacks.Callback` with a typed constructor.

    A stateful callback has `get_state()` and `set_state(state)`; without them, a resumed training starts it anew.
    `reads_logs()` and `adds_logs()` return names of entries in the logs of an epoch, which are checked before training.
    """


@hookspec
def hgq2_datasets() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Data set kinds: each class has a typed constructor and `load() -> Splits`."""


@hookspec
def hgq2_exporters() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Exporter kinds: each class has `export(model, directory, **options)`."""


@hookspec
def hgq2_commands() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Subcommands of `hgq2`: each a function with typed parameters, as typer reads them; imported when it is run."""


def lazy_exports(
    package: str, *offered: Mapping[str, str], **more: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make a package export the classes that its hooks name, each imported when it is first used.

    Used in the package's `__init__`, so that a new class is named only in `plugin.py`:

        __getattr__, __dir__, __all__ = lazy_exports(__name__, plugin.hgq2_layers())

    Args:
        package: its `__name__`.
        offered: what its hooks return; adapters of Keras layers, under `keras.<Layer>`, are not exported.
        more: further names, and the modules that define them.

    Returns:
        The module's `__getattr__`, `__dir__` and `__all__`.
    """
    specs = [spec for kinds in offered for kind, spec in kinds.items() if not kind.startswith("keras.")]
    homes = {name: module for module, _, name in (spec.partition(":") for spec in specs)} | more

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return get, lambda: sorted({*vars(sys.modules[package]), *homes}), sorted(homes)
