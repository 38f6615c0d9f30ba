"""Keras' legacy HDF5 format over every layer that is registered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from layer_examples import EXAMPLES, FAMILIES
from selection import few

from hgq2_core.discovery.registry import registry

pytestmark = pytest.mark.once


def values(shape: tuple[int, ...], integer: bool) -> Any:
    rng = np.random.default_rng(1)
    return rng.integers(0, 3, (4, *shape)) if integer else rng.normal(size=(4, *shape)).astype(np.float32)


@pytest.mark.parametrize("kind", few(EXAMPLES, *FAMILIES))
def test_layer_comes_back_from_hdf5(kind: str, tmp_path: Path) -> None:
    for arguments, shape in EXAMPLES[kind]:
        layer = registry().load("layers", kind)(**arguments)
        inputs = [keras.Input(each) for each in shape] if isinstance(shape, list) else keras.Input(shape)
        model = keras.Model(inputs, layer(inputs))
        for weight in model.weights:
            if "float" in weight.dtype:
                weight.assign(
                    keras.ops.convert_to_numpy(weight) + np.random.default_rng(2).uniform(0, 0.5, weight.shape)
                )
        model.save(tmp_path / "model.h5")
        again = keras.saving.load_model(tmp_path / "model.h5")
        assert json.dumps(again.layers[-1].get_config()) == json.dumps(layer.get_config())
        x = [values(tensor.shape[1:], kind == "layers.embedding") for tensor in model.inputs]
        x = x if isinstance(shape, list) else x[0]
        for got, wanted in zip(
            *(keras.tree.flatten(each.predict(x, verbose=0)) for each in (again, model)), strict=True
        ):
            np.testing.assert_array_equal(got, wanted)
