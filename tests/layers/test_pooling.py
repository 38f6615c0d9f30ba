"""Pooling: the same as Keras' without quantizers, divisions, cost, and Keras' own pooling among quantized layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import float64_of, values

import hgq2_layers
from hgq2_core import ConfigError, ExactnessError, ebops
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import equal, from_float
from hgq2_core.layers.adapters import exact
from hgq2_fixed_point import KBI, KIF

FIRST = {"data_format": "channels_first"}
ANY = {"reciprocal_quantizer": "none"}

MAXIMA = [
    ("MaxPooling1D", {}, (7, 2)),
    ("MaxPooling1D", {"pool_size": 4, "strides": 1, "padding": "same"}, (7, 2)),
    ("MaxPooling2D", {"pool_size": (3, 2), "strides": (1, 2), "padding": "same"}, (5, 5, 2)),
    ("MaxPooling2D", {"pool_size": 3, "strides": 2, **FIRST}, (2, 7, 6)),
    ("MaxPooling3D", {"pool_size": (2, 1, 3), "strides": 2, "padding": "same"}, (3, 4, 5, 2)),
    ("GlobalMaxPooling1D", {}, (5, 2)),
    ("GlobalMaxPooling2D", {"keepdims": True, **FIRST}, (2, 5, 3)),
    ("GlobalMaxPooling3D", {}, (3, 2, 2, 2)),
]
SHIFTS = [
    ("AveragePooling1D", {"pool_size": 4, "strides": 3}, (8, 2)),
    ("AveragePooling2D", {"pool_size": (2, 4), "strides": (1, 2)}, (5, 6, 2)),
    ("AveragePooling2D", {"pool_size": 2, "padding": "same", **FIRST}, (2, 4, 6)),
    ("AveragePooling3D", {"pool_size": (2, 1, 2)}, (4, 2, 4, 2)),
    ("GlobalAveragePooling1D", {"keepdims": True}, (8, 3)),
    ("GlobalAveragePooling2D", FIRST, (3, 4, 4)),
    ("GlobalAveragePooling3D", {}, (2, 2, 4, 3)),
]
PRODUCTS = [
    ("AveragePooling1D", {"pool_size": 3}, (8, 2)),
    ("AveragePooling1D", {"pool_size": 3, "strides": 1, "padding": "same"}, (8, 2)),
    ("AveragePooling2D", {"pool_size": (3, 5), "strides": (1, 1), "padding": "same", **FIRST}, (2, 5, 7)),
    ("GlobalAveragePooling2D", {"keepdims": True}, (3, 5, 2)),
]
EACH = ("name", "arguments", "shape")


def ours(name, arguments, shape=None):
    layer = getattr(hgq2_layers, f"Q{name}")(**arguments)
    if shape:
        layer.build((None, *shape))
    return layer


def twin_output(name, arguments, x):
    """Of Keras' own layer, which on some CPUs pools the channels last alone."""
    twin = getattr(keras.layers, name)(**{**arguments, "data_format": "channels_last"})
    if not arguments.get("data_format"):
        return float64_of(twin(x))
    outputs = float64_of(twin(np.moveaxis(x, 1, -1)))
    return np.moveaxis(outputs, -1, 1)


@pytest.mark.parametrize(
    EACH, [*MAXIMA, *SHIFTS, *[(name, {**given, **ANY}, shape) for name, given, shape in PRODUCTS]]
)
def test_without_quantizers_it_is_keras_own(name, arguments, shape):
    layer = ours(name, {**arguments, "input_quantizer": "none"})
    x = values(4, *shape) - 5
    wanted = twin_output(name, {key: value for key, value in arguments.items() if key not in ANY}, x)
    np.testing.assert_allclose(float64_of(layer(x)), wanted, rtol=1e-6)
    assert layer.compute_output_shape((None, *shape)) == (None, *wanted.shape[1:])


def test_what_same_pads_is_in_no_average():
    """On every backend; Keras' own repeats the border on torch."""
    layer = ours("AveragePooling1D", {"pool_size": 2, "strides": 1, "padding": "same", "input_quantizer": "none"})
    x = np.asarray([1.0, 3.0, 8.0], dtype=np.float32).reshape(1, 3, 1)
    assert float64_of(layer(x)).ravel().tolist() == [2.0, 5.5, 8.0]


def test_other_counts_multiply_by_a_quantized_reciprocal():
    arguments = {"pool_size": 3, "input_quantizer": "none", "reciprocal_quantizer": KBI(b=3, i=0)}
    layer = ours("AveragePooling1D", arguments, (6, 2))
    x = np.arange(12, dtype=np.float32).reshape(1, 6, 2)
    assert float64_of(layer.constants()["reciprocal"]).tolist() == [0.625]  # 2/3 in steps of 1/8
    assert float64_of(layer(x)).tolist() == (0.3125 * x.reshape(1, 2, 3, 2).sum(axis=2)).tolist()


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "count"),
    [
        ("AveragePooling2D", {"pool_size": (2, 3)}, (6, 6, 2), 6),
        ("AveragePooling1D", {"pool_size": 4, "strides": 1, "padding": "same"}, (6, 2), 3),
        ("GlobalAveragePooling1D", {}, (7, 2), 7),
    ],
)
def test_other_counts_need_a_quantizer(name, arguments, shape, count):
    with pytest.raises(ConfigError) as caught:
        ours(name, {**arguments, "name": "mean"}, shape)
    assert str(caught.value) == (
        f"mean: an average of {count} values is exact once its reciprocal is quantized. "
        "Received: reciprocal_quantizer=None. Allowed: a quantizer of weights, such as 'kbi', or windows whose counts "
        "of values are powers of two."
    )


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize(EACH, [MAXIMA[0], MAXIMA[3], MAXIMA[6], SHIFTS[1], SHIFTS[6]])
def test_the_cost_is_the_bits_of_the_inputs(name, arguments, shape, granularity, independent, scatter_bits):
    layer = ours(name, {**arguments, "input_quantizer": KIF(granularity=granularity, overflow_mode="SAT")}, shape)
    scatter_bits(layer)
    assert ebops(layer) == independent.counted(layer.input_quantizer, shape).sum() > 0


def test_the_parallelization_factor_scales_the_cost():
    counting = {"input_quantizer": KIF(i=1, f=2, overflow_mode="SAT_SYM")}
    layer = ours("MaxPooling2D", {"parallelization_factor": 2, **counting}, (4, 6, 3))
    assert ebops(layer) == 4 * 6 * 3 * 3 * 2 / 6


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "message"),
    [
        (
            "MaxPooling2D",
            {"pool_size": 5},
            (4, 8, 3),
            "seen: no window fits into the input. Received: (None, 4, 8, 3) for pool_size=[5, 5].",
        ),
        (
            "MaxPooling1D",
            {},
            (4, 8, 3),
            "seen: the input has a batch axis, 1 spatial axes, and channels (channels_last). "
            "Received: (None, 4, 8, 3).",
        ),
        (
            "GlobalMaxPooling1D",
            {},
            (None, 3),
            "seen: pooling needs spatial axes of a static size. Received: (None, None, 3).",
        ),
        (
            "MaxPooling1D",
            {"parallelization_factor": 5},
            (8, 3),
            "seen: parallelization_factor is at most the number of output positions. "
            "Received: parallelization_factor=5. Allowed: 1 to 4.",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(name, arguments, shape, message):
    with pytest.raises(ConfigError) as caught:
        layer = ours(name, {**arguments, "name": "seen"})
        layer.build((None, *shape))
        layer.compute_output_shape((None, *shape))
    assert str(caught.value) == message


@pytest.mark.parametrize(EACH, [*MAXIMA, *SHIFTS])
def test_keras_own_pooling_is_exact(name, arguments, shape):
    layer = getattr(keras.layers, name)(**arguments)
    x = np.round(values(16, *shape) * 8) / 8
    result = exact(Integers(), layer, layer.name, (from_float(x),), {})
    wanted = twin_output(name, arguments, x.astype(np.float32))
    assert result.data.shape == wanted.shape
    assert equal(result, wanted).all()


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "message"),
    [
        (
            "AveragePooling1D",
            {"pool_size": 3},
            (6, 2),
            "AveragePooling1D is exact where it averages a power of two of values. Received: 3 values. "
            "Use QAveragePooling1D with a reciprocal_quantizer in its place.",
        ),
        (
            "GlobalAveragePooling2D",
            {},
            (3, 2, 2),
            "GlobalAveragePooling2D is exact where it averages a power of two of values. Received: 6 values. "
            "Use QGlobalAveragePooling2D with a reciprocal_quantizer in its place.",
        ),
        (
            "AveragePooling1D",
            {"pool_size": 2, "strides": 1, "padding": "same"},
            (6, 2),
            "AveragePooling1D is exact where padding='same' pads as much before as after; elsewhere backends differ. "
            "Received: pads [(0, 1)]. Use QAveragePooling1D in its place.",
        ),
    ],
)
def test_keras_own_pooling_is_refused_where_it_rounds(name, arguments, shape, message):
    layer = getattr(keras.layers, name)(name="mean", **arguments)
    with pytest.raises(ExactnessError) as caught:
        exact(Integers(), layer, "mean", (from_float(values(2, *shape)),), {})
    assert str(caught.value) == f"mean: {message}"
