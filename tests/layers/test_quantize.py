"""A quantizer as a layer of its own."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import ModelConfig, calibrate, ebops, summary, verify
from hgq2_fixed_point import KIF
from hgq2_layers import QDense, QQuantize

layers = keras.layers
COARSE = KIF(i=1, f=1, overflow_mode="SAT_SYM", granularity="tensor", i_regularizer=0.0, f_regularizer=0.5)


def test_it_gives_the_values_of_its_quantizer_and_consumers_pay_by_its_bits():
    dense = QDense(2, use_bias=False, input_quantizer=COARSE, kernel_quantizer=KIF(i=0, f=3, overflow_mode="SAT_SYM"))
    model = keras.Sequential([keras.Input((3,)), QQuantize(COARSE, name="quantize"), dense])
    outputs = model.layers[0](np.float32([[0.3, -7.0, 0.25]]))
    assert keras.ops.convert_to_numpy(outputs).tolist() == [[0.5, -1.5, 0.5]]
    rows = {row.name: row for row in summary(model).layers}
    assert rows["quantize"].ebops == 0.0
    assert [slot.mean for slot in rows["quantize"].slots] == [2.0]
    assert ebops(model) == 2 * 3 * 3 * 2


def test_its_bits_are_regularized():
    layer = QQuantize(COARSE)
    layer(np.zeros((1, 3), np.float32))
    assert [float(keras.ops.convert_to_numpy(loss)) for loss in layer.losses] == [0.5 * 1]


def test_masks_pass():
    inputs = keras.Input((4, 2))
    hidden = QQuantize()(layers.Masking()(inputs))
    masked = keras.Model(inputs, layers.LSTM(2, return_sequences=False)(hidden))
    assert hidden._keras_mask is not None
    assert masked(np.zeros((1, 4, 2), np.float32)).shape == (1, 2)


@pytest.mark.once
def test_it_stands_in_a_config_and_is_verified():
    config = {
        "inputs": {"x": {"shape": [3]}},
        "layers": [{"kind": "quantize", "quantizer": {"kind": "kif", "f": 3}}, {"kind": "dense", "units": 2}],
    }
    model = ModelConfig.model_validate({"model": config}).build()
    x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    calibrate(model, x)
    assert verify(model, x * 3).mismatches == 0
