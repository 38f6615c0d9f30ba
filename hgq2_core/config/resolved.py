"""The config that a run directory keeps: every layer with what it really got."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from hgq2_core.config.model import ModelConfig
from hgq2_core.layer import QLayer


def resolved(config: ModelConfig, model: keras.Model) -> dict[str, Any]:
    """Give a config's plain data with every quantizer slot and default written out.

    Args:
        config: the config.
        model: what it built.
    """
    document = config.to_dict()
    for entry, name in zip(document["model"]["layers"], config.model.names, strict=True):
        entry["name"] = name
        layer = model.get_layer(name)
        if isinstance(layer, QLayer):
            entry.update({key: _plain(value) for key, value in layer.get_config().items()})
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        # Variables are float32: 1e-06, not 9.999999974752427e-07, where both are the same float32.
        short = float(str(np.float32(value)))
        return short if np.float32(short) == np.float32(value) == value else value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
