"""`load_model`, a form of `keras.saving.load_model` for untrusted files."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras

from hgq2_core.errors import ConfigError, ModelFileError, PluginError
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.model_file.archive import CONFIG, WEIGHTS, read_members
from hgq2_core.model_file.configuration import read_config
from hgq2_core.model_file.limits import DEFAULT_LIMITS, Limits
from hgq2_core.model_file.size import check_size
from hgq2_core.model_file.weights import count_weights


@preserve_rng()
def load_model(
    path: str | os.PathLike[str],
    *,
    compile: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    functions: Iterable[Callable[..., Any]] = (),
) -> keras.Model:
    """Load a `.keras` file of quantized and allow-listed Keras layers, checked before anything is built from it.

    Args:
        path: the file.
        compile: whether to restore optimizer, loss and metrics, to continue training.
        limits: limits on the contents of the file.
        functions: of your own that its layers may have, such as a surrogate or an activation, under the name by which
            `keras.saving.register_keras_serializable` registers them. No other function of your process is called.

    Returns:
        The model.

    Raises:
        ConfigError: `functions` are no list of functions, or one of them is not registered with Keras.
        ModelFileError: the file is damaged or too large, or has contents that are not allowed; the message says where.
        PluginError: the plugin of one of its kinds is missing or failed.
    """
    path = Path(path)
    names = _registered_names(functions)
    config_json, weights = read_members(path, limits)
    where = f"{path}: {CONFIG}"
    config = read_config(config_json, where, limits, compile, names)
    check_size(config, count_weights(weights, f"{path}: {WEIGHTS}", limits), where)
    return _load(path, config, weights, compile)


def check_saved(model: keras.Model, where: str) -> None:
    """Check, before a model is trained, that `load_model` will take the file that it is saved in.

    Args:
        model: compiled.
        where: its name, for messages.

    Raises:
        ModelFileError: a layer, the optimizer, a loss or a metric is not allowed in a file; the message says where.
    """
    config = json.dumps(keras.saving.serialize_keras_object(model))
    read_config(config.encode(), where, DEFAULT_LIMITS, compile=True)


def _registered_names(functions: Iterable[Callable[..., Any]]) -> list[str]:
    if isinstance(functions, str) or not isinstance(functions, Iterable):
        raise ConfigError(
            f"load_model: functions: must be a list of functions. Received: {functions!r}. Write "
            "functions=[my_function]."
        )
    return [_registered_name(function) for function in functions]


def _registered_name(function: Callable[..., Any]) -> str:
    name = keras.saving.get_registered_name(function) if callable(function) else None
    if not isinstance(name, str) or keras.saving.get_registered_object(name) is not function:
        raise ConfigError(
            f"load_model: functions: must be registered with Keras. Received: {function!r}. Put "
            "@keras.saving.register_keras_serializable() above it; a file has its name."
        )
    return name


def _load(path: Path, config: dict[str, Any], weights: bytes, compile: bool) -> keras.Model:
    # Keras reads a copy of the checked contents, since the file may have changed, or be parsed differently.
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "model.keras"
        with zipfile.ZipFile(copy, "w") as archive:
            archive.writestr(CONFIG, json.dumps(config))
            archive.writestr(WEIGHTS, weights)
        try:
            return keras.saving.load_model(copy, compile=compile, safe_mode=True)
        except PluginError:
            raise
        except Exception as error:  # a damaged file makes Keras or h5py fail with any error
            raise ModelFileError(
                f"{path}: cannot be loaded; the file is damaged or not a Keras model. {error}"
            ) from error
