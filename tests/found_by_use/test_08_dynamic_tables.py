"""A table's range is that of all its entries: the trainable form gives in inference what the frozen form looks up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest
from selection import one_in

from hgq2_attention import QMultiHeadAttention, QSoftmax
from hgq2_core import calibrate, defaults, freeze, quantize_model, verify
from hgq2_layers import QAffineUnaryFunction, QConv1DLUT, QDenseLUT, QEmbedding, QHardSigmoid, QUnaryFunction

WRAP = {"overflow_mode": "WRAP"}
QUANTIZERS: dict[str, Mapping[str, Any]] = {
    "kbi_wrap": {"kind": "kbi", **WRAP},
    "kif_wrap": {"kind": "kif", "f": 5, **WRAP},
    "kif_wrap_bounded": {"kind": "kif", "f": 5, "i": -1, "i_bounds": (-23, -1), **WRAP},
    "kbi_sign_magnitude": {"kind": "kbi", "overflow_mode": "WRAP_SM", "round_mode": "RND"},
    "kbi_stochastic": {"kind": "kbi", "round_mode": "S_RND_CONV", **WRAP},
    "kbi_saturating": {"kind": "kbi"},
    "minifloat": {"kind": "float8_e4m3fn"},
    "power_of_two": {"kind": "power_of_two"},
    "none": {"kind": "fixed_point.none"},
}
COARSE = {"kind": "kif", "i": 1, "f": 3, "overflow_mode": "SAT", "granularity": "tensor"}
FLOATS = np.random.default_rng(3).normal(size=(256, 4, 3)).astype(np.float32) / 2
WORDS = np.random.default_rng(3).integers(0, 3, size=(64, 4))

LAYERS: dict[str, Callable[[], keras.layers.Layer]] = {
    "unary_function": lambda: QUnaryFunction("tanh"),
    "input_per_tensor": lambda: QUnaryFunction("gelu", input_quantizer=COARSE),
    "input_without_sign": lambda: QUnaryFunction("sigmoid", input_quantizer={**COARSE, "k": 0}),
    "input_symmetric": lambda: QUnaryFunction("silu", input_quantizer={**COARSE, "overflow_mode": "SAT_SYM"}),
    "input_of_a_width": lambda: QUnaryFunction(
        "tanh", input_quantizer={"kind": "kbi", "b": 4, "i": 1, "overflow_mode": "SAT"}
    ),
    "input_ternary": lambda: QUnaryFunction("tanh", input_quantizer="ternary"),
    "affine": lambda: QAffineUnaryFunction("tanh", per_channel=True, scale_initializer="random_normal"),
    "hard_sigmoid": lambda: QHardSigmoid(),
    "dense_lut": lambda: QDenseLUT(2, hidden_units=3),
    "conv_lut": lambda: QConv1DLUT(2, 2, hidden_units=3),
    "softmax": lambda: QSoftmax(),
    "softmax_unstable": lambda: QSoftmax(stable=False),
    "embedding": lambda: QEmbedding(9, 2),
}
REFUSED = ("kif_wrap_bounded", "kbi_sign_magnitude")
"""For the inverse of a softmax, which reaches 2 and has no sign."""
PAIRS = [(layer, each) for layer in LAYERS for each in QUANTIZERS if not ("softmax" in layer and each in REFUSED)]
CONVERTED: dict[str, Callable[[], keras.layers.Layer]] = {
    "gru": lambda: keras.layers.GRU(3),
    "lstm_both_ways": lambda: keras.layers.Bidirectional(keras.layers.LSTM(2)),
    "simple_rnn": lambda: keras.layers.SimpleRNN(3, return_sequences=True),
    "steps": lambda: keras.layers.TimeDistributed(keras.layers.Dense(3, activation="tanh")),
}


def model_of(layer: keras.layers.Layer, x: np.ndarray) -> keras.Model:
    inputs = keras.Input(x.shape[1:])
    return keras.Model(inputs, layer(inputs))


def check(model: keras.Model, x: np.ndarray) -> None:
    """Calibrate on a part of the values, so that the rest asks for other entries."""
    calibrate(model, x[:32])
    report = verify(model, x)
    assert (report.trainable, report.differing) == (0, ())
    assert np.array_equal(model.predict(x[:3], verbose=0), freeze(model).predict(x[:3], verbose=0))


@pytest.mark.parametrize(("layer", "quantizer"), list(one_in(10, PAIRS)))
def test_the_trainable_form_equals_the_frozen_one(layer: str, quantizer: str) -> None:
    keras.utils.set_random_seed(2)
    x = WORDS if layer == "embedding" else FLOATS
    with defaults(table=QUANTIZERS[quantizer]):
        model = model_of(LAYERS[layer](), x)
    check(model, x)


@pytest.mark.parametrize(
    ("layer", "quantizer"), list(one_in(3, [*itertools.product(CONVERTED, ("kbi_wrap", "kif_wrap"))]))
)
def test_so_does_a_converted_model(layer: str, quantizer: str) -> None:
    keras.utils.set_random_seed(2)
    with defaults(table=QUANTIZERS[quantizer]):
        model = quantize_model(model_of(CONVERTED[layer](), FLOATS))
    check(model, FLOATS)


def test_so_does_attention_with_gates() -> None:
    inputs = keras.Input(FLOATS.shape[1:])
    with defaults(table=QUANTIZERS["kbi_wrap"]):
        model = keras.Model(inputs, QMultiHeadAttention(1, 2, use_gate=True)(inputs, inputs))
    check(model, FLOATS)


def test_verification_names_a_layer_whose_trainable_form_differs() -> None:
    class Shifted(QUnaryFunction):
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            outputs = super().call(inputs, training)
            return outputs if self.frozen else outputs + 1.0

    model = model_of(Shifted("tanh", name="shifted"), FLOATS)
    calibrate(model, FLOATS)
    report = verify(model, FLOATS[:5])
    assert report.ok
    assert (report.trainable, report.differing) == (5, ("shifted",))
    assert str(report).splitlines()[1] == "before freezing: 5 samples differ from the frozen form, in shifted"


def test_parts_of_a_grid_are_the_grid() -> None:
    layer = QUnaryFunction("tanh", input_quantizer={**COARSE, "granularity": "element"})
    layer.build((None, 3))
    layer.input_quantizer.f.assign([[1.0, -4.0, 3.0]])
    layer.input_quantizer.i.assign([[2.0, 1.0, -5.0]])
    points, count = layer.input_quantizer.grid_part(keras.ops.zeros(()), 100)
    grid = layer.input_quantizer.grid(100)
    assert int(count) == len(grid)
    assert np.unique(keras.ops.convert_to_numpy(points)).tolist() == grid.tolist()
