"""Quantizers that no plugin offers, such as one in a notebook: they train, and only a file refuses them."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from hgq2_core import PluginError
from hgq2_fixed_point import KBI
from hgq2_layers import QDense

MESSAGE = (
    r"^Mine cannot be saved: no installed plugin offers it, so no file could name its kind\. Put it into a module, "
    r"and name it in a plugin's hgq2_quantizers: \{'mine': 'module:Mine'\}\.$"
)


class Mine(KBI):
    """As KBI, under a name of its own."""


@pytest.fixture
def model() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), QDense(2, kernel_quantizer=Mine(b=5), name="d")])
    model.compile("sgd", "mse")
    return model


def test_it_trains(model: keras.Model) -> None:
    model.fit(np.ones((8, 4), np.float32), np.ones((8, 2), np.float32), verbose=0)


def test_saving_refuses_it_with_the_remedy(model: keras.Model, tmp_path: Path) -> None:
    for save in (model.get_config, lambda: model.save(tmp_path / "model.keras"), Mine().to_dict):
        with pytest.raises(PluginError, match=MESSAGE):
            save()
