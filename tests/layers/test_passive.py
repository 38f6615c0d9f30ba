"""Keras' layers that move, cut, repeat and merge values: exact as Keras computes them, and free."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import ExactnessError, calibrate, ebops, verify
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import equal, from_float
from hgq2_core.layers.adapters import exact
from hgq2_fixed_point import KIF
from hgq2_layers import QDense

layers = keras.layers
FIRST = {"data_format": "channels_first"}


def values(*shape, seed=2):
    # On a grid, as every quantizer leaves them: sums and products of such values are exact in float32.
    return np.rint(np.random.default_rng(seed).normal(size=shape) * 16).astype(np.float32) / 8


def interpreted(layer, *inputs):
    return exact(Integers(), layer, layer.name, tuple(map(from_float, inputs)), {})


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Permute((2, 1)), (3, 4)),
        (layers.Permute((3, 1, 2)), (2, 3, 4)),
        (layers.RepeatVector(3), (4,)),
        (layers.Cropping1D((1, 2)), (5, 2)),
        (layers.Cropping1D(1), (5, 2)),
        (layers.Cropping2D(((1, 0), (0, 2))), (3, 4, 2)),
        (layers.Cropping2D(((1, 0), (0, 2)), **FIRST), (2, 3, 4)),
        (layers.Cropping3D(((1, 0), (0, 2), (1, 1))), (3, 4, 3, 2)),
        (layers.Cropping3D(((1, 0), (0, 2), (1, 1)), **FIRST), (2, 3, 4, 3)),
        (layers.ZeroPadding1D((1, 2)), (3, 2)),
        (layers.ZeroPadding1D((1, 2), **FIRST), (2, 3)),
        (layers.ZeroPadding2D(((1, 0), (0, 2))), (3, 4, 2)),
        (layers.ZeroPadding2D(((1, 0), (0, 2)), **FIRST), (2, 3, 4)),
        (layers.ZeroPadding3D(((1, 0), (0, 2), (1, 1))), (3, 2, 3, 2)),
        (layers.ZeroPadding3D(2, **FIRST), (1, 2, 1, 2)),
        (layers.UpSampling1D(3), (3, 2)),
        (layers.UpSampling2D((2, 3)), (3, 2, 2)),
        (layers.UpSampling2D((2, 3), **FIRST), (2, 3, 2)),
        (layers.UpSampling3D((2, 1, 3)), (3, 2, 2, 2)),
        (layers.UpSampling3D((2, 1, 3), **FIRST), (2, 3, 2, 2)),
        (layers.SpatialDropout1D(0.5), (3, 4)),
        (layers.SpatialDropout2D(0.5), (3, 4, 2)),
        (layers.SpatialDropout3D(0.5), (3, 4, 2, 2)),
        (layers.GaussianNoise(0.5), (3, 4)),
        (layers.GaussianDropout(0.5), (3, 4)),
        (layers.AlphaDropout(0.5), (3, 4)),
        (layers.ActivityRegularization(l2=0.5), (3, 4)),
        (layers.Identity(), (3, 4)),
    ],
    ids=lambda item: getattr(item, "name", ""),
)
def test_integers_equal_keras(layer, shape):
    x = values(8, *shape)
    wanted = keras.ops.convert_to_numpy(layer(x))
    result = interpreted(layer, x)
    assert result.data.shape == wanted.shape
    assert equal(result, wanted).all()


@pytest.mark.parametrize(
    ("layer", "function", "most"),
    [
        (layers.Add(), np.add, 3),
        (layers.Multiply(), np.multiply, 3),
        (layers.Maximum(), np.maximum, 3),
        (layers.Minimum(), np.minimum, 3),
        (layers.Subtract(), np.subtract, 2),
    ],
    ids=lambda item: getattr(item, "name", ""),
)
def test_integers_equal_keras_in_what_it_merges(layer, function, most):
    inputs = [values(8, 2, 3), values(8, 3, seed=3), values(8, 1, 3, seed=4)][:most]
    wanted = function(inputs[0], inputs[1][:, np.newaxis])
    wanted = function(wanted, inputs[2]) if most == 3 else wanted
    assert equal(interpreted(layer, *inputs), wanted).all()
    assert np.array_equal(keras.ops.convert_to_numpy(layer(inputs)), wanted)


@pytest.mark.parametrize("axis", [1, -1])
def test_integers_equal_keras_in_what_it_joins(axis):
    layer = layers.Concatenate(axis=axis)
    inputs = [values(8, 2, 3), values(8, 2, 3, seed=3)]
    assert equal(interpreted(layer, *inputs), keras.ops.convert_to_numpy(layer(inputs))).all()


def test_interpolation_is_refused():
    with pytest.raises(ExactnessError) as caught:
        interpreted(layers.UpSampling2D(2, interpolation="bilinear", name="up"), values(1, 2, 2, 1))
    assert str(caught.value) == "up: UpSampling2D is exact for interpolation='nearest'. Received: 'bilinear'."


def test_a_graph_of_them_verifies_and_costs_nothing():
    inputs = keras.Input((4, 3))
    left = QDense(4, output_quantizer=KIF(overflow_mode="SAT"))(inputs)
    right = layers.Permute((2, 1))(QDense(4, output_quantizer=KIF(overflow_mode="SAT"))(inputs))
    merged = layers.Concatenate()([layers.Add()([left, right]), layers.Multiply()([left, right])])
    x = layers.LeakyReLU(negative_slope=0.125)(layers.ZeroPadding1D(1)(merged))
    x = layers.UpSampling1D(2)(layers.Cropping1D((0, 1))(layers.SpatialDropout1D(0.2)(x)))
    model = keras.Model(inputs, layers.Minimum()([x, layers.ReLU(max_value=4.0)(x)]))
    calibrate(model, values(256, 4, 3))
    report = verify(model, values(1000, 4, 3, seed=5) * 4)
    assert report.ok, str(report)
    assert all(row.float32_enough for row in report.layers[2:])
    assert ebops(model) == sum(ebops(layer) for layer in model.layers if isinstance(layer, QDense))
