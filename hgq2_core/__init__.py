"""Quantization-aware training for real-time hardware: an open core, and plugins that bring quantizers and layers.

Importing this package imports no backend. If `KERAS_BACKEND` is unset, it is set to the first of torch, jax and
tensorflow that is installed.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import wrapt

from hgq2_core.discovery.backends import check_backend, choose_backend, no_backend
from hgq2_core.errors import (
    CalibrationError,
    ConfigError,
    DataError,
    ExactnessError,
    HGQ2Error,
    KindError,
    ModelFileError,
    PluginError,
    ToolError,
    WriteError,
)

if TYPE_CHECKING:
    from hgq2_core.compilation.allocator import keep_freed_memory
    from hgq2_core.compilation.jit import jit
    from hgq2_core.config.json_schema import json_schema
    from hgq2_core.config.model import ModelConfig, load_config
    from hgq2_core.convert.operation_layers import with_operation_layers
    from hgq2_core.convert.quantize import quantize_model
    from hgq2_core.data.splits import Split, Splits
    from hgq2_core.data.standardization import Standardization, with_standardization
    from hgq2_core.diagnosis.checks import doctor
    from hgq2_core.discovery.registry import Registry, plugins
    from hgq2_core.exporting.export import estimate, export
    from hgq2_core.exporting.host import host_quantize
    from hgq2_core.keras_graph.traversal import layers_of
    from hgq2_core.layers.adapters import KerasAdapter
    from hgq2_core.layers.base import QLayer
    from hgq2_core.layers.states import reset_states
    from hgq2_core.model.calibration import calibrate
    from hgq2_core.model.cost import ebops, summary
    from hgq2_core.model.freezing import freeze
    from hgq2_core.model.range_init import fit_ranges
    from hgq2_core.model.support import UnsupportedLayer, unsupported_layers
    from hgq2_core.model.trimming import trim_bits
    from hgq2_core.model.verification import verify
    from hgq2_core.model_file.limits import Limits
    from hgq2_core.model_file.load import load_model
    from hgq2_core.ops.data_parallel import DataParallel
    from hgq2_core.optimizer import BitOptimizer
    from hgq2_core.quantizers.base import Quantizer
    from hgq2_core.quantizers.config import QuantizerConfig
    from hgq2_core.quantizers.defaults import defaults

    registry: Registry

__version__ = "0.1.0"

_LAZY_IMPORTS = {
    "BitOptimizer": "optimizer",
    "DataParallel": "ops.data_parallel",
    "KerasAdapter": "layers.adapters",
    "Limits": "model_file.limits",
    "ModelConfig": "config.model",
    "QLayer": "layers.base",
    "Quantizer": "quantizers.base",
    "QuantizerConfig": "quantizers.config",
    "Split": "data.splits",
    "Splits": "data.splits",
    "Standardization": "data.standardization",
    "UnsupportedLayer": "model.support",
    "calibrate": "model.calibration",
    "defaults": "quantizers.defaults",
    "doctor": "diagnosis.checks",
    "ebops": "model.cost",
    "estimate": "exporting.export",
    "export": "exporting.export",
    "fit_ranges": "model.range_init",
    "freeze": "model.freezing",
    "host_quantize": "exporting.host",
    "jit": "compilation.jit",
    "json_schema": "config.json_schema",
    "keep_freed_memory": "compilation.allocator",
    "layers_of": "keras_graph.traversal",
    "load_config": "config.model",
    "load_model": "model_file.load",
    "plugins": "discovery.registry",
    "quantize_model": "convert.quantize",
    "reset_states": "layers.states",
    "summary": "model.cost",
    "trim_bits": "model.trimming",
    "unsupported_layers": "model.support",
    "verify": "model.verification",
    "with_operation_layers": "convert.operation_layers",
    "with_standardization": "data.standardization",
}
"""Public names, and the modules that they are imported from when first used."""

__all__ = [
    "BitOptimizer",
    "CalibrationError",
    "ConfigError",
    "DataError",
    "DataParallel",
    "ExactnessError",
    "HGQ2Error",
    "KerasAdapter",
    "KindError",
    "Limits",
    "ModelConfig",
    "ModelFileError",
    "PluginError",
    "QLayer",
    "Quantizer",
    "QuantizerConfig",
    "Split",
    "Splits",
    "Standardization",
    "ToolError",
    "UnsupportedLayer",
    "WriteError",
    "calibrate",
    "defaults",
    "doctor",
    "ebops",
    "estimate",
    "export",
    "fit_ranges",
    "freeze",
    "host_quantize",
    "jit",
    "json_schema",
    "keep_freed_memory",
    "layers_of",
    "load_config",
    "load_model",
    "plugins",
    "quantize_model",
    "registry",
    "reset_states",
    "summary",
    "trim_bits",
    "unsupported_layers",
    "verify",
    "with_operation_layers",
    "with_standardization",
]

choose_backend()

_KERAS_NAMES = {
    "hgq2>QLayer": "layers.base:QLayer",
    "hgq2>Quantizer": "quantizers.base:Quantizer",
    "hgq2>BitOptimizer": "optimizer:BitOptimizer",
}
"""Names under which Keras saves our objects, and the classes behind them."""


def _deferred(home: str) -> type:
    module, _, name = home.partition(":")

    class Deferred:
        """Stand in for one of our classes until a file names it; the class registers itself when it is imported."""

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            """Let the real class rebuild the object."""
            return getattr(importlib.import_module(f"{__name__}.{module}"), name).from_config(config)

    return Deferred


@wrapt.when_imported("keras")
def _register_keras_names(keras: Any) -> None:
    # So that plain keras.saving.load_model finds our classes whatever was imported first, without importing them now:
    # this also runs in the middle of their own import.
    for name, home in _KERAS_NAMES.items():
        keras.saving.get_custom_objects().setdefault(name, _deferred(home))


def __getattr__(name: str) -> Any:
    if name == "registry":
        return importlib.import_module("hgq2_core.discovery.registry").registry()
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in ("plugins", "Split", "Splits", "Standardization"):
        if not os.environ.get("KERAS_BACKEND"):
            raise no_backend(f"hgq2_core.{name}")
        check_backend()
    return getattr(importlib.import_module(f"{__name__}.{_LAZY_IMPORTS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
