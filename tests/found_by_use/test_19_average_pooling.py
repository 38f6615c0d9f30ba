"""An average over a power of two of values is a shift, whatever the `reciprocal_quantizer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import hgq2_layers
from hgq2_core import calibrate, ebops, export, freeze, quantize_model, verify
from hgq2_fixed_point import KBI, KIF

COARSE = KBI(b=12, i=0)
"""Its largest value is 1 - 2**-12."""

INPUT = KIF(i=3, f=4, overflow_mode="SAT")
POWERS: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("AveragePooling1D", {"pool_size": 4, "strides": 2}, (8, 2)),
    ("AveragePooling1D", {"pool_size": 2, "padding": "same"}, (8, 2)),
    ("AveragePooling2D", {"pool_size": 2}, (4, 4, 2)),
    ("AveragePooling2D", {"pool_size": 2, "strides": 1, "padding": "same"}, (3, 3, 2)),
    ("AveragePooling2D", {"pool_size": 2, "data_format": "channels_first"}, (2, 4, 4)),
    ("AveragePooling3D", {"pool_size": (2, 1, 2), "padding": "same"}, (4, 2, 4, 1)),
    ("GlobalAveragePooling1D", {}, (8, 2)),
    ("GlobalAveragePooling2D", {"keepdims": True}, (4, 2, 2)),
    ("GlobalAveragePooling3D", {}, (2, 2, 2, 2)),
]
EACH = pytest.mark.parametrize(("name", "arguments", "shape"), POWERS)


def model_of(name: str, arguments: dict[str, Any], shape: tuple[int, ...], **quantizers: Any) -> keras.Model:
    layer = getattr(hgq2_layers, f"Q{name}")(**arguments, input_quantizer=INPUT, name="mean", **quantizers)
    return keras.Sequential([keras.Input(shape), layer])


def samples(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32) * 2


@EACH
def test_ones_have_the_mean_one(name: str, arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = model_of(name, arguments, shape, reciprocal_quantizer=COARSE)
    assert np.unique(model.predict(np.ones((2, *shape)), verbose=0)).tolist() == [1.0]


@EACH
def test_it_is_the_layer_without_the_quantizer(name: str, arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    model, plain = (model_of(name, arguments, shape, **given) for given in ({"reciprocal_quantizer": COARSE}, {}))
    x = samples(shape)
    wanted = plain.predict(x, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), wanted)
    assert ebops(model) == ebops(plain)
    assert verify(model, x).ok
    frozen = freeze(model)
    assert not frozen.layers[0].stored()
    np.testing.assert_array_equal(frozen.predict(x, verbose=0), wanted)


def test_it_trains_without_a_gradient_for_what_is_not_used(tmp_path: Path) -> None:
    quantizer = KBI(b=12, i=0, b_regularizer=0.0, i_regularizer=0.0)
    model = model_of("AveragePooling1D", {"pool_size": 2}, (4, 1), reciprocal_quantizer=quantizer)
    model.compile("sgd", "mse")
    model.fit(samples((4, 1)), np.ones((16, 2, 1)), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.layers[0].get_config() == model.layers[0].get_config()


@pytest.mark.once
def test_the_circuit_is_that_of_shifts(tmp_path: Path) -> None:
    pytest.importorskip("alkaid")
    costs = []
    for index, quantizers in enumerate(({"reciprocal_quantizer": COARSE}, {})):
        model = model_of("AveragePooling2D", {"pool_size": 2}, (2, 2, 1), **quantizers)
        calibrate(model, samples((2, 2, 1)))
        costs.append(export(model, "alkaid", tmp_path / str(index)).cost)
    assert costs[0] == costs[1]


def test_a_rule_for_the_reciprocal_does_no_harm() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.AveragePooling2D(2, name="mean")])
    quantized = quantize_model(model, {"mean": {"reciprocal_quantizer": COARSE.to_dict(), "input_quantizer": INPUT}})
    assert np.unique(quantized.predict(np.ones((1, 4, 4, 1)), verbose=0)).tolist() == [1.0]


def test_other_counts_are_multiplied_as_ever() -> None:
    model = model_of("AveragePooling1D", {"pool_size": 3}, (6, 1), reciprocal_quantizer=KBI(b=3, i=0))
    assert np.unique(model.predict(np.ones((2, 6, 1)), verbose=0)).tolist() == [0.9375]
    assert "reciprocal" in freeze(model).layers[0].stored()
