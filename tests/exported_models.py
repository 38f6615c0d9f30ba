"""Models that exporters are tried on: products, convolutions, tables, attention, recurrence, minifloat."""

from __future__ import annotations

import keras
import numpy as np

from hgq2_attention import QMultiHeadAttention, QSoftmax
from hgq2_core import calibrate, defaults
from hgq2_core.discovery.registry import registry
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QLSTM, QAdd, QConcatenate, QConv2D, QDense, QMaxPooling2D, QUnaryFunction
from hgq2_minifloat import Minifloat

SAMPLES = 1000


def mlp():
    return keras.Sequential([keras.Input((8,)), QDense(8, "relu", bias_initializer="normal"), QDense(4)])


def cnn():
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            QConv2D(3, 3, activation="relu"),
            QMaxPooling2D(2),
            QConv2D(2, 2, padding="same", activation="relu"),
            keras.layers.Flatten(),
            QDense(3),
        ]
    )


def softmax():
    table = KIF(k=0, i=3, f=3, overflow_mode="SAT")
    return keras.Sequential(
        [keras.Input((5,)), QDense(4), QUnaryFunction("tanh"), QDense(4), QSoftmax(difference_quantizer=table)]
    )


def attention():
    x = keras.Input((3, 4))
    heads = QMultiHeadAttention(
        2,
        2,
        difference_quantizer=KIF(k=0, i=3, f=2, overflow_mode="SAT"),
        attention_quantizer=KIF(k=0, i=0, f=5, overflow_mode="SAT"),
    )
    return keras.Model(x, QDense(2)(keras.layers.Flatten()(heads(x, x, use_causal_mask=True))))


def lstm():
    return keras.Sequential([keras.Input((3, 4)), QLSTM(2), QDense(2)])


def residual():
    x, z = keras.Input((4,), name="x"), keras.Input((3,), name="z")
    a, b = QDense(4, "relu")(x), QDense(4)(z)
    both = QAdd()([a, b])
    return keras.Model([x, z], [QDense(2, name="first")(QConcatenate()([both, a])), QDense(2, name="second")(both)])


def minifloat():
    weights, values = Minifloat(m=2, e=3, e0=-3), Minifloat(m=2, e=2, e0=0)
    chosen = {"kernel_quantizer": weights, "bias_quantizer": weights}
    return keras.Sequential(
        [keras.Input((6,)), QDense(5, "relu", **chosen), QDense(3, input_quantizer=values, **chosen)]
    )


def third_party():
    """A layer and a quantizer of the example of a plugin, which must be installed."""
    scale = {"class_name": "RandomNormal", "config": {"stddev": 1.0, "seed": 3}}
    layer_scale = registry().load("layers", "acme.layer_scale")(scale_initializer=scale)
    return keras.Sequential(
        [keras.Input((5,)), QDense(4), layer_scale, QDense(2, input_quantizer={"kind": "acme.levels"})]
    )


MODELS = {
    "mlp": mlp,
    "softmax": softmax,
    "minifloat": minifloat,
    "third_party": third_party,
    "cnn": cnn,
    "attention": attention,
    "lstm": lstm,
    "residual": residual,
}


def oddly_named():
    """Return a calibrated model whose names are keywords, functions, or no names in C++, Verilog and VHDL."""
    keras.utils.set_random_seed(3)
    inputs = [keras.Input((3,), name=name) for name in ("int", "INT", "a b", "a_b\\")]
    names = "main", "exp", 'module "\n?', "*\\"
    outputs = [QDense(2, name=name)(x) for name, x in zip(names, inputs, strict=True)]
    model = keras.Model(inputs, outputs, name="double")
    calibrate(model, samples_of(model, 1.0, samples=50))
    return model


def calibrated(name, overflow_mode="WRAP"):
    """A model with weights of four bits, calibrated on a part of the range of its samples."""
    keras.utils.set_random_seed(3)
    with defaults(weight=KBI(b=4, i=0), activation=KIF(i=2, f=3, overflow_mode=overflow_mode)):
        model = MODELS[name]()
    calibrate(model, samples_of(model, 1.0, seed=1))
    return model


def samples_of(model, scale, seed=2, samples=SAMPLES):
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=(samples, *tensor.shape[1:])).astype(np.float32) * scale for tensor in model.inputs]
    return values if len(values) > 1 else values[0]


def inside_and_outside(model):
    """As many samples as those of the calibration as samples of six times their range."""
    inside, outside = samples_of(model, 1.0), samples_of(model, 6.0)
    return keras.tree.map_structure(lambda a, b: np.concatenate([a, b]), inside, outside)
