"""The hooks a plugin may implement: declarative mappings, so that listing imports no backend.

Every hook is called once, when the registry is first asked for something, and returns a mapping from the name of a
kind (without the plugin's own name in front) to `"module:Class"`. The class itself is imported when it is first needed.
"""

from __future__ import annotations

from collections.abc import Mapping

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

    One with state of its own has `get_state()` and `set_state(state)`; without them a resumed training begins it
    afresh. `reads_logs()` and `adds_logs()` return names in the logs of an epoch,
    which are then checked before training.
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
