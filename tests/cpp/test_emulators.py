"""Keras = integers = C++: whole models, inside and outside of their calibration, and every layer that there is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Unpack

import keras
import numpy as np
import pytest

import hgq2_core  # before keras: it picks the backend

pytest.importorskip("hgq2_cpp", reason="hgq2-cpp is not installed: make install")

from hgq2_core import ExactnessError, QLayer, calibrate, defaults, freeze
from hgq2_core.exporting.graph import model_inputs
from hgq2_core.exporting.vectors import expected, vectors
from hgq2_core.layers.arguments import LayerKwargs
from hgq2_core.testing.layers import subject_of
from hgq2_cpp.model import record

sys.path.append(str(Path(__file__).parents[1] / "contract"))

from layer_examples import EXAMPLES

pytestmark = pytest.mark.once
SAMPLES = 1000


def layer(kind, *arguments, **named):
    return hgq2_core.registry.load("layers", kind)(*arguments, **named)


class Twice(QLayer):
    """A layer of somebody else: x + x, quantized."""

    def __init__(self, **kwargs: Unpack[LayerKwargs]) -> None:
        super().__init__(**kwargs)
        self.quantizer = self.add_quantizer(
            {"kind": "kif", "i": 3, "f": 3, "overflow_mode": "SAT"}, "activation", "input"
        )

    def build(self, input_shape):
        self.quantizer.build(input_shape)
        self.built = True

    def call(self, inputs, training=None):
        q = self.quantizer.quantize(inputs, bool(training))
        return q + q

    def exact(self, arrays, *inputs):
        q = self.quantizer.exact(arrays, inputs[0])
        return arrays.add(q, q)

    def ebops(self):
        return keras.ops.sum(self.quantizer.bits())


def chain(shape, *layers):
    return keras.Sequential([keras.Input(shape, name="x"), *layers], name="chain")


def two_by_two():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    first = layer("layers.dense", 4, "relu", name="first")(a)
    merged = layer("layers.concatenate", name="merged")([layer("layers.add", name="added")([first, a]), b])
    return keras.Model(
        [a, b], [layer("layers.dense", 3, name="one")(merged), layer("layers.dense", 2, name="two")(first)]
    )


MODELS = {
    "dense": lambda: chain((16,), layer("layers.dense", 8, "relu"), layer("layers.dense", 4)),
    "convolution": lambda: chain(
        (6, 6, 2), layer("layers.conv2d", 3, 3, activation="relu", padding="same"), layer("layers.max_pooling2d", 2),
        keras.layers.Flatten(), layer("layers.dense", 4)),
    "attention": lambda: chain((3, 4), layer("layers.quantize"), layer("attention.softmax"), layer("layers.dense", 3)),
    "recurrent": lambda: chain((3, 2), layer("layers.gru", 3), layer("layers.dense", 2)),
    "lookup tables": lambda: chain((5,), layer("layers.dense_lut", 4), layer("layers.dense", 3)),
    "minifloat": lambda: chain(
        (6,), layer("layers.dense", 4, input_quantizer={"kind": "minifloat.minifloat", "m": 2, "e": 3}),
        layer("layers.dense", 3, kernel_quantizer={"kind": "minifloat.minifloat", "m": 2, "e": 3},
              input_quantizer={"kind": "minifloat.minifloat", "m": 2, "e": 3})),
    "two inputs and outputs": two_by_two,
    "third party": lambda: chain((5,), layer("layers.dense", 4), Twice(), layer("layers.dense", 3)),
}  # fmt: skip


def made(name):
    """A model, and inputs inside and outside of its calibration."""
    keras.utils.set_random_seed(5)
    with defaults(activation={"kind": "kif", "overflow_mode": "WRAP", "f": 4}):
        model = MODELS[name]()
    rng = np.random.default_rng(5)
    inside = [rng.normal(size=(SAMPLES, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    x = [np.concatenate([each, each * 6]) for each in inside]
    calibrate(model, inside if len(inside) > 1 else inside[0])
    return freeze(model), x


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:Twice does not define:FutureWarning")
def test_the_program_of_a_model_gives_what_keras_gives(name):
    model, x = made(name)
    emulator = record(model)
    given = model_inputs(model, x)
    made_vectors = vectors(model, emulator.inputs, x)
    assert made_vectors.mismatches(emulator.interpret) == 0
    predicted = keras.tree.flatten(model.predict(x if len(x) > 1 else x[0], verbose=0))
    flat = [np.reshape(each, (len(each), -1)) for each in predicted]
    assert np.array_equal(np.concatenate(flat, axis=1), expected(model, given))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Twice does not define:FutureWarning")
def test_the_code_of_models_gives_what_keras_gives(compiled):
    frozen = {name: made(name) for name in MODELS}
    library = compiled([record(model) for model, _ in frozen.values()])
    for number, (model, x) in enumerate(frozen.values()):
        wanted = expected(model, model_inputs(model, x))
        assert len(wanted) == 2 * SAMPLES
        assert np.array_equal(library.predict(number, x), wanted)


@pytest.mark.slow
def test_the_code_of_every_layer_gives_what_the_integers_give(compiled):
    """In one program, so that the loops are compiled once."""
    emulators, wanted, refused = [], [], []
    for kind, cases in EXAMPLES.items():
        arguments, shape = cases[0]
        subject = subject_of({"kind": kind, **arguments}, shape)
        model = freeze(subject.model())
        try:
            emulators.append(record(model))
        except ExactnessError:
            refused.append(kind)
            continue
        wanted.append((kind, vectors(model, emulators[-1].inputs, subject.values())))
    library = compiled(emulators, ("-O0",))
    assert [kind for n, (kind, each) in enumerate(wanted) if each.mismatches(lambda x, n=n: library.run(n, x))] == []
    assert refused == ["layers.operation"]  # an operation on raw inputs
