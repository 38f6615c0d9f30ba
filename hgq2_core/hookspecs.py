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
    """Quantizer kinds: each class a `QuantizerConfig` with `build`, whose module imports no backend.

    `build` returns a `Quantizer` with `bits`, `exact`, `format`, and `quantize` or `quantize_with_cost`. See
    docs/extending/quantizer.md.
    """


@hookspec
def hgq2_layers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Layer kinds: each class a `QLayer` with `call`, `ebops` and `exact`.

    Under `keras.<Layer>`, a `KerasAdapter` with `exact`, which adapts that layer of Keras. See docs/extending/layer.md
    and docs/extending/adapter.md.
    """


@hookspec
def hgq2_callbacks() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Callback kinds: each class a `keras.callbacks.Callback` with a typed constructor.

    A stateful callback has `get_state()` and `set_state(state)`; without them, a resumed training starts it anew.
    `reads_logs()` and `adds_logs()` return names of entries in the logs of an epoch, which are checked before training.
    See docs/extending/callback.md.
    """


@hookspec
def hgq2_datasets() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Data set kinds: each class a `Dataset` with a typed constructor and `load`, which returns `Splits`.

    A class with this method and another base serves as well. See docs/extending/dataset.md.
    """


@hookspec
def hgq2_exporters() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Exporter kinds: each class an `Exporter` with `estimate`, `export`, `simulate` and `mismatches`.

    It has no arguments; a class with these methods and another base serves as well. See docs/extending/exporter.md.
    """


@hookspec
def hgq2_commands() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Subcommands of `hgq2`: each a function with typed parameters, as typer reads them, and a docstring.

    The docstring's first line is what `hgq2 --help` says. The function is imported when it is run. See
    docs/extending/command.md.
    """


@hookspec
def hgq2_losses() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Losses: each class a `keras.losses.Loss` with a typed constructor, `call`, and `get_config` if it has arguments.

    A config names them beside the losses of Keras, and a saved model holds their kinds. See docs/extending/loss.md.
    """


@hookspec
def hgq2_metrics() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Metrics: each class a `keras.metrics.Metric` with a typed constructor, `update_state` and `result`.

    See docs/extending/metric.md.
    """


@hookspec
def hgq2_optimizers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Optimizers: each class a `keras.optimizers.Optimizer` with a typed constructor, `build` and `update_step`.

    See docs/extending/optimizer.md.
    """


@hookspec
def hgq2_schedules() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Schedules of the learning rate: each class a `keras.optimizers.schedules.LearningRateSchedule`, typed.

    It defines `__call__(step)` and `get_config`; a schedule of `ebops_beta` is a callback. See
    docs/extending/schedule.md.
    """


def lazy_exports(
    package: str, *offered: Mapping[str, str], **more: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make a package export the classes that its hooks name, each imported when it is first used.

    Used in the package's `__init__`, so that a new class is named only in `plugin.py`:

        __getattr__, __dir__, __all__ = lazy_exports(__name__, plugin.hgq2_layers())

    Args:
        package: its `__name__`.
        offered: what its hooks return; adapters of Keras layers, under `keras.<Layer>`, are not exported.
        more: further names, and the modules that define them; `module:name` where they define it under another name.

    Returns:
        The module's `__getattr__`, `__dir__` and `__all__`.
    """
    specs = [spec for kinds in offered for kind, spec in kinds.items() if not kind.startswith("keras.")]
    homes = {name: module for module, _, name in (spec.partition(":") for spec in specs)} | more

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, defined = homes[name].partition(":")
        return getattr(importlib.import_module(module), defined or name)

    return get, lambda: sorted({*vars(sys.modules[package]), *homes}), sorted(homes)
