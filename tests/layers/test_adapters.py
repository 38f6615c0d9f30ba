"""Keras' own passive layers among quantized ones: exact arithmetic, refusals, cost."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import ExactnessError, calibrate, ebops, verify
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import equal, from_float
from hgq2_core.layers.adapters import adapter_of, exact
from hgq2_layers import QDense

layers = keras.layers


def values(*shape):
    return np.random.default_rng(2).normal(size=shape).astype(np.float32) * 3


def interpreted(layer, x):
    return exact(Integers(), layer, layer.name, (from_float(x),), {})


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (layers.ReLU(), lambda x: np.maximum(x, 0)),
        (layers.Activation("relu"), lambda x: np.maximum(x, 0)),
        (layers.Activation("linear"), lambda x: x),
        (layers.Activation(keras.activations.relu), lambda x: np.maximum(x, 0)),
        (layers.Dropout(0.5), lambda x: x),
        (layers.Flatten(), lambda x: x.reshape(len(x), -1)),
        (layers.Flatten(data_format="channels_first"), lambda x: x.swapaxes(1, 2).reshape(len(x), -1)),
        (layers.ReLU(max_value=2.0), lambda x: np.clip(x, 0, 2)),
        (layers.ReLU(max_value=6.0), lambda x: np.clip(x, 0, 6)),
        (layers.ReLU(threshold=1.0), lambda x: np.where(x > 1, x, 0)),
        (layers.ReLU(negative_slope=0.25), lambda x: np.where(x > 0, x, x / 4)),
        (layers.LeakyReLU(negative_slope=0.25), lambda x: np.where(x > 0, x, x / 4)),
        (layers.LeakyReLU(negative_slope=2.0), lambda x: np.where(x > 0, x, x * 2)),
        (layers.LeakyReLU(negative_slope=0.0), lambda x: np.maximum(x, 0)),
        (layers.Reshape((4, 3)), lambda x: x.reshape(len(x), 4, 3)),
        (layers.Reshape((-1, 2)), lambda x: x.reshape(len(x), -1, 2)),
        (layers.Reshape((12,)), lambda x: x.reshape(len(x), 12)),
    ],
    ids=lambda item: getattr(item, "name", ""),
)
def test_exact_arithmetic(layer, function):
    x = values(16, 3, 4)
    result = interpreted(layer, x)
    assert result.data.shape == function(x).shape
    assert equal(result, function(x)).all()
    assert equal(result, keras.ops.convert_to_numpy(layer(x))).all()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.ReLU(max_value=0.1, name="tenth"), r"tenth: max_value .* float32 holds\. .*max_value=0\.1"),
        (layers.ReLU(negative_slope=0.1, name="leaky"), r"leaky: .* power of two\. .*negative_slope=0\.1"),
        (layers.ReLU(threshold=0.1, name="late"), r"late: threshold .* float32 holds\. .*threshold=0\.1"),
        (layers.LeakyReLU(name="leaky"), r"leaky: .*LeakyReLU is 0 or a power of two\. .*negative_slope=0\.3"),
        (layers.Activation("tanh", name="bend"), "bend.*'tanh'"),
        (layers.Activation("gelu", name="bend"), "bend.*'gelu'"),
        (layers.Dense(3, name="plain"), "plain.*keras.Dense"),
        (layers.LayerNormalization(name="norm"), "norm.*keras.LayerNormalization"),
        (layers.Lambda(lambda x: x, name="own"), "own.*keras.Lambda"),
    ],
)
def test_what_is_not_exact_is_refused(layer, message):
    with pytest.raises(ExactnessError, match=message):
        interpreted(layer, values(2, 3, 4))


def test_the_message_says_what_could_be_used():
    with pytest.raises(ExactnessError) as caught:
        interpreted(layers.Dense(3, name="mine"), values(2, 3))
    assert str(caught.value) == (
        "mine: keras.Dense has no exact arithmetic. Use dense in its place, or a Keras layer that has "
        "(hgq2 list --table)."
    )


def test_a_subclass_of_an_adapted_layer_is_not_adapted():
    class Flatten(layers.Flatten):
        pass

    assert adapter_of(layers.Flatten()) is not None
    assert adapter_of(Flatten()) is None
    with pytest.raises(ExactnessError):
        interpreted(Flatten(), values(2, 3))


def test_they_cost_nothing():
    model = keras.Sequential([keras.Input((3, 4)), layers.Flatten(), layers.ReLU(), layers.Dropout(0.5)])
    assert ebops(model) == 0.0


def test_a_model_of_all_of_them_verifies():
    model = keras.Sequential(
        [
            keras.Input((3, 4)),
            layers.Reshape((12,)),
            QDense(8),
            layers.ReLU(),
            layers.Dropout(0.5),
            layers.Reshape((2, 4)),
            QDense(3),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Activation("linear"),
            QDense(2),
        ]
    )
    calibrate(model, values(256, 3, 4))
    report = verify(model, values(1000, 3, 4) * 50)
    assert report.ok
    assert report.samples == 1000
    assert [row.name for row in report.layers] == [layer.name for layer in model.layers]
