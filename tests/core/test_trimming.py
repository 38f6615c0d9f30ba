"""`trim_bits`: the fewest bits in which weights keep their values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import calibrate, ebops, layers_of, trim_bits, verify
from hgq2_core.quantizers.config import QuantizerConfig, Slot
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QConv2D, QDense, QDenseBatchNorm
from hgq2_minifloat import Minifloat


def numpy(values: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(values))


def trimmed(config: QuantizerConfig, values: Any) -> tuple[list[float], np.ndarray]:
    """Return the bits that are counted after trimming, and check that the values stay."""
    x = keras.ops.convert_to_tensor(np.asarray(values, np.float32))
    quantizer = config.build(Slot("weight", "kernel", "layer"))
    quantizer.build(tuple(x.shape))
    before = numpy(quantizer.quantize(x))
    quantizer.trim(x)
    assert (numpy(quantizer.quantize(x)) == before).all()
    return numpy(quantizer.bits(x)).tolist(), before


@pytest.mark.parametrize("config", [KBI(b=6, i=1), KIF(i=1, f=5, overflow_mode="SAT_SYM")])
def test_bits_reach_from_the_highest_to_the_lowest_that_is_set(config: QuantizerConfig) -> None:
    bits, values = trimmed(config, [0.5, 0.375, -0.625, 1 / 32, 0.0, 0.01, 1.96875, 5.0, -1.5])
    assert bits == [1, 2, 3, 1, 0, 0, 6, 6, 2]
    assert values[-2] == 1.96875  # what saturates has all bits set


def test_values_that_share_their_bits_need_the_most_of_all() -> None:
    bits, _ = trimmed(KBI(b=6, i=1, granularity="channel"), [[0.5, 0.0, 0.375], [0.25, 0.0, 1.5]])
    assert bits == [[2, 0, 4], [2, 0, 4]]


def test_a_sign_that_saturates_in_full_keeps_its_bit() -> None:
    assert trimmed(KBI(b=4, i=0, overflow_mode="SAT"), [-1.0, 0.5, -0.5]) == ([1, 2, 2], pytest.approx([-1, 0.5, -0.5]))


@pytest.mark.parametrize("overflow_mode", ["WRAP", "SAT", "SAT_SYM", "SAT_ZERO"])
@pytest.mark.parametrize("round_mode", ["RND", "TRN", "TRN_ZERO", "RND_CONV", "RND_MIN_INF"])
@pytest.mark.parametrize("granularity", ["element", "tensor"])
def test_no_value_changes_and_no_bits_are_added(overflow_mode: Any, round_mode: Any, granularity: Any) -> None:
    values = np.random.default_rng(0).normal(0, 0.5, (40, 25)).astype(np.float32)
    values[:, 0] = np.round(values[:, 0] * 16) / 16  # ties
    for b in range(6):
        config = KBI(b=b, i=0, overflow_mode=overflow_mode, round_mode=round_mode, granularity=granularity)
        quantizer = config.build(Slot("weight", "kernel", "layer"))
        quantizer.build(values.shape)
        before = numpy(quantizer.bits(values)).copy()
        after, _ = trimmed(config, values)
        assert (np.asarray(after) <= before).all()
        if granularity == "element" and overflow_mode == "SAT_SYM" and b > 1:
            assert np.sum(after) < 0.8 * before.sum()


@pytest.mark.parametrize("config", [KBI(b=6, i=1, trainable=False), Minifloat(m=4)])
def test_bits_that_are_not_trained_or_not_fixed_point_stay(config: QuantizerConfig) -> None:
    assert len(set(trimmed(config, [0.5, 0.375, 1.25])[0])) == 1


def test_a_model_costs_less_and_gives_the_same_outputs() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            QConv2D(3, 3, activation="relu", kernel_quantizer=KBI(b=4, i=0)),
            keras.layers.Flatten(),
            QDenseBatchNorm(5, activation="relu"),
            QDense(4, kernel_quantizer=KBI(b=3, i=0, round_mode="TRN_ZERO"), accumulator_bits=9),
        ]
    )
    for layer in layers_of(model):
        if isinstance(layer, QDenseBatchNorm):
            layer.moving_variance.assign(np.linspace(0.3, 2.0, 5))
    x = np.random.default_rng(1).uniform(-1, 1, (64, 6, 6, 1)).astype(np.float32)
    calibrate(model, x)
    outputs, cost = model.predict(x, verbose=0), ebops(model)
    trim_bits(model)
    calibrate(model, x)
    assert ebops(model) < 0.8 * cost
    assert (model.predict(x, verbose=0) == outputs).all()
    assert verify(model, x).ok
    cost = ebops(model)
    trim_bits(model)
    calibrate(model, x)
    assert ebops(model) == cost


def test_a_layer_whose_weights_depend_on_their_bits_keeps_them() -> None:
    keras.utils.set_random_seed(0)
    layer = QDense(4, kernel_quantizer=KBI(b=8, i=0, round_mode="TRN_ZERO"), accumulator_bits=6)
    model = keras.Sequential([keras.Input((16,)), layer])
    x = np.random.default_rng(1).uniform(-1, 1, (64, 16)).astype(np.float32)
    calibrate(model, x)
    outputs = model.predict(x, verbose=0)
    trim_bits(model)
    assert (model.predict(x, verbose=0) == outputs).all()


def test_a_layer_that_diverged_keeps_its_bits() -> None:
    layer = QDense(2, kernel_quantizer=KBI(b=4, i=0))
    model = keras.Sequential([keras.Input((3,)), layer])
    layer.kernel.assign(np.full((3, 2), np.nan, np.float32))
    before = [np.array(keras.ops.convert_to_numpy(each)) for each in layer.trainable_variables[1:]]
    trim_bits(model)
    after = [np.array(keras.ops.convert_to_numpy(each)) for each in layer.trainable_variables[1:]]
    assert all(map(np.array_equal, before, after))
