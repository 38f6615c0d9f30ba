"""Keras = integers = circuit: the same outputs with ==, and 0 mismatches in Icarus Verilog."""

from __future__ import annotations

import itertools
from typing import Unpack

import keras
import numpy as np
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")


from hgq2_core import QLayer, export
from hgq2_core.exporting.export import exporter_of
from hgq2_core.exporting.exporter import Simulation
from hgq2_core.layers.arguments import LayerKwargs
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import QuantizerConfig
from hgq2_core.testing import registered
from hgq2_fixed_point import KBI, KIF, Binary, PowerOfTwo, Ternary
from hgq2_layers import QDense, QEinsumDense

ROUNDINGS = ("TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF", "RND_CONV")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO")


def mlp(activation, weight=None, inputs=6):
    """Two layers, so that one quantizer of activations is the host's and the others are gates."""
    keras.utils.set_random_seed(4)
    return keras.Sequential(
        [
            keras.Input((inputs,), name="x"),
            QDense(5, "relu", input_quantizer=activation, kernel_quantizer=weight, name="hidden"),
            QDense(3, input_quantizer=activation, output_quantizer=activation, kernel_quantizer=weight, name="logits"),
        ]
    )


def einsum():
    inputs = keras.Input((3, 4), name="x")
    x = QEinsumDense("abc,cd->abd", [None, 2], bias_axes="d", activation="relu", name="rows")(inputs)
    return keras.Model(inputs, QEinsumDense("...ab,bc->...ac", [3, 2], bias_axes="c", name="again")(x))


def mixed():
    """Moved before the first quantizer, after it and in between; a nested model; two inputs, two outputs."""
    image, extra = keras.Input((2, 3), name="image"), keras.Input((4,), name="extra")
    inner = keras.Sequential([keras.Input((6,)), QDense(4, "relu", name="in"), keras.layers.ReLU()], name="inner")
    x = inner(keras.layers.Flatten(name="flat")(image))
    x = QEinsumDense("...ab,bc->...ac", [2, 2], name="rows")(keras.layers.Reshape((2, 2), name="square")(x))
    y = keras.layers.Activation("relu")(QDense(3, use_bias=False, name="side")(extra))
    return keras.Model([image, extra], [keras.layers.Flatten()(x), keras.layers.Dropout(0.3)(y)])


def all_zero():
    """A layer whose every kernel element is pruned: only its bias is left, and another branch that lives."""
    inputs = keras.Input((4,), name="x")
    x = QDense(4, input_quantizer=KIF(i=2, f=3, overflow_mode="SAT"), name="first")(inputs)
    dead = QDense(3, kernel_quantizer=KBI(b=0), output_quantizer=KIF(i=2, f=3, overflow_mode="SAT"), name="dead")(x)
    return keras.Model(inputs, [QDense(2, name="after")(dead), QDense(2, name="alive")(x)])


def pruned():
    """Rows of the kernel that are zero leave inputs unread; columns leave outputs constant."""
    model = mlp(KIF(i=3, f=3, overflow_mode="SAT"))
    kernel = np.random.default_rng(1).normal(size=(6, 5))
    kernel[[0, 3]], kernel[:, 2] = 0, 0
    model.layers[0].kernel.assign(kernel)
    model.layers[0].bias.assign(np.arange(-2, 3))
    return model


def coarse():
    """Steps of 2 and 4, which only large weights reach."""
    model = mlp(KIF(i=5, f=-1, overflow_mode="WRAP"), KIF(i=6, f=-2))
    for layer in model.layers:
        layer.kernel.assign(np.random.default_rng(2).normal(size=layer.kernel.shape) * 20)
    return model


class Distance(QLayer):
    """A layer of somebody else: distances to a centre, by operations that no layer of ours uses."""

    def __init__(self, **kwargs: Unpack[LayerKwargs]) -> None:
        super().__init__(**kwargs)
        self.quantizer = self.add_quantizer(KIF(i=2, f=2, overflow_mode="SAT"), "activation", "input")

    def build(self, input_shape):
        self.quantizer.build(input_shape)
        self.built = True

    def call(self, inputs, training=None):
        ops = keras.ops
        x = self.quantizer.quantize(inputs, bool(training))
        far = ops.maximum(ops.abs(x[:, 1:] - x[:, :-1]), 0.5)
        square = ops.square(x)
        total = ops.sum(ops.where(x < 0.25, x * ops.flip(x, axis=1), square), axis=1, keepdims=True)
        return ops.concatenate([far, ops.pad(ops.minimum(total, 9.0), ((0, 0), (1, 0))), -4.0 * x], axis=1)

    def exact(self, arrays, *inputs):
        x = self.quantizer.exact(arrays, inputs[0])
        size = arrays.shape(x)[1]
        step = arrays.subtract(
            arrays.gather(x, np.arange(1, size), axis=1), arrays.gather(x, np.arange(size - 1), axis=1)
        )
        far = arrays.maximum(arrays.maximum(step, arrays.negate(step)), arrays.constant(0.5))
        square = arrays.table(x, np.square)
        product = arrays.multiply(x, arrays.gather(x, np.arange(size)[::-1], axis=1))
        total = arrays.sum(arrays.select(arrays.less(x, arrays.constant(0.25)), product, square), axis=1, keepdims=True)
        total = arrays.pad(arrays.minimum(total, arrays.constant(9.0)), [(0, 0), (1, 0)])
        scaled = arrays.negate(arrays.shift(arrays.broadcast(x, arrays.shape(x)), 2))
        return arrays.concatenate([far, total, scaled], axis=1)

    def ebops(self):
        return keras.ops.sum(self.quantizer.bits())


class Thermometer(QuantizerConfig):
    """A quantizer of somebody else: how many of three thresholds a value reaches."""

    def build(self, slot=None):
        return ThermometerQuantizer(self, slot)


class ThermometerQuantizer(Quantizer[Thermometer]):
    def build(self, input_shape):
        self.size = input_shape[1:]
        super().build(input_shape)

    def quantize(self, x, training=False):
        return sum(keras.ops.cast(x >= level, "float32") for level in (-1.0, 0.0, 1.0))

    def bits(self, x=None):
        return keras.ops.full(self.size, 2.0)

    def exact(self, arrays, x):
        one = arrays.constant(1.0)
        reached = [arrays.subtract(one, arrays.less(x, arrays.constant(level))) for level in (-1.0, 0.0, 1.0)]
        return arrays.add(arrays.add(reached[0], reached[1]), reached[2])

    def format(self, x=None):
        return {"levels": np.array(4)}


def third_party():
    inputs = keras.Input((4,), name="x")
    x = QDense(3, input_quantizer=KIF(i=2, f=3, overflow_mode="SAT"), name="first")(inputs)
    x = QDense(4, input_quantizer=Thermometer(), name="counted")(x)
    return keras.Model(inputs, Distance(name="distance")(x))


@pytest.fixture(autouse=True)
def thermometer_is_installed():
    """As if a plugin offered it: freezing goes through the configuration."""
    with registered(quantizers={"third_party.thermometer": Thermometer}):
        yield


WIDTHS = {
    "kbi wrap": lambda: mlp(KBI(overflow_mode="WRAP")),
    "kbi sat": lambda: mlp(KBI(overflow_mode="SAT"), KBI(overflow_mode="WRAP")),
    "kif wrap": lambda: mlp(KIF(overflow_mode="WRAP"), KIF()),
    "unsigned": lambda: mlp(KIF(k=0, overflow_mode="SAT")),
    "unsigned, wrap": lambda: mlp(KIF(k=0, overflow_mode="SAT_ZERO", round_mode="TRN")),
    "one bit per tensor": lambda: mlp(KIF(granularity="tensor", overflow_mode="SAT")),
    "einsum": einsum,
    "mixed": mixed,
}
"""Models whose bits are scattered."""

FIXED = {
    "all zero": all_zero,
    "pruned": pruned,
    "binary weights": lambda: mlp(KIF(i=2, f=2, overflow_mode="SAT"), Binary()),
    "one bit weights": lambda: mlp(KIF(i=2, f=2, overflow_mode="SAT"), KBI(b=0, i=0, overflow_mode="SAT")),
    "ternary weights": lambda: mlp(KIF(i=2, f=2, overflow_mode="WRAP"), Ternary()),
    "powers of two": lambda: mlp(KIF(i=3, f=1, overflow_mode="SAT_SYM"), PowerOfTwo()),
    "negative i": lambda: mlp(KIF(i=-1, f=5, overflow_mode="SAT"), KBI(b=4, i=-2)),
    "negative f": coarse,
    "third party": third_party,
}
"""Models whose bits are what they say."""


@pytest.fixture
def model(request, scattered, fixed):
    made = {**WIDTHS, **FIXED}[request.param]()
    return scattered(made) if request.param in WIDTHS else fixed(made)


EVERY_MODEL = pytest.mark.parametrize("model", [*WIDTHS, *FIXED], indirect=True)


@EVERY_MODEL
def test_keras_integers_and_circuit_agree(model, agree):
    agree(model)


@pytest.mark.parametrize(("round_mode", "overflow_mode"), list(itertools.product(ROUNDINGS, OVERFLOWS)))
def test_every_rounding_and_overflow_agrees(round_mode, overflow_mode, scattered, agree):
    agree(scattered(mlp(KIF(round_mode=round_mode, overflow_mode=overflow_mode, granularity="channel"), inputs=4)))


def test_the_input_quantizer_may_wrap_sign_and_magnitude(scattered, agree):
    """It is the host's work, which needs no circuit."""
    agree(scattered(keras.Sequential([keras.Input((4,)), QDense(2, input_quantizer=KIF(overflow_mode="WRAP_SM"))])))


def on_grid(x):
    """Of the format (1, 4, 4)."""
    return np.clip(np.round(x * 16) / 16, -16, 15).astype(np.float32)


def test_a_format_of_the_inputs_takes_the_quantizers_into_the_circuit(fixed, inputs, agree):
    model = fixed(mlp(KIF(i=1, f=2, overflow_mode="SAT", round_mode="RND_CONV")))
    circuit = agree(model, (1, 4, 4), on_grid(inputs(model)))
    assert {(e.k, e.i, e.f) for e in circuit.inputs[0].elements} == {(1, 4, 4)}


def test_with_a_format_one_input_may_be_quantized_in_two_ways(fixed, inputs, agree):
    x = keras.Input((4,), name="x")
    outputs = [QDense(2, input_quantizer=KIF(i=2, f=f, overflow_mode="SAT"), name=f"f{f}")(x) for f in (1, 3)]
    model = fixed(keras.Model(x, outputs))
    agree(model, (1, 4, 4), on_grid(inputs(model)))


@pytest.mark.slow
@pytest.mark.parametrize("latency_cutoff", [None, 4], ids=["combinational", "pipelined"])
@EVERY_MODEL
def test_icarus_agrees(model, latency_cutoff, icarus, inputs, tmp_path):
    x = inputs(model)
    report = export(model, "alkaid", tmp_path / "out", x, latency_cutoff=latency_cutoff)
    assert report.checked == 1000 + 259
    assert (report.stages > 0) == (latency_cutoff is not None)
    assert exporter_of("alkaid").simulate(tmp_path / "out") == Simulation(report.checked, mismatches=0)


@pytest.mark.slow
@pytest.mark.parametrize(("round_mode", "overflow_mode"), list(itertools.product(ROUNDINGS, OVERFLOWS)))
def test_icarus_agrees_on_every_rounding_and_overflow(round_mode, overflow_mode, icarus, scattered, inputs, tmp_path):
    model = scattered(mlp(KIF(round_mode=round_mode, overflow_mode=overflow_mode, granularity="channel"), inputs=4))
    report = export(model, "alkaid", tmp_path / "out", inputs(model))
    assert exporter_of("alkaid").simulate(tmp_path / "out") == Simulation(report.checked, mismatches=0)
