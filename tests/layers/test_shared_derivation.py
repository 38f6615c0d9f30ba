"""Operations in a row share what they derive: each width once in a call, in training, `ebops` and `summary`."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import hgq2_core
from hgq2_core.layers import derived
from hgq2_layers import QDense, QOperation

SAMPLES = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)


def chain(sums: int) -> keras.Model:
    """Return a model with so many residual sums, and nothing that quantizes between them."""
    inputs = keras.Input((4,), name="x")
    h = QDense(4, name="first")(inputs)
    for n in range(sums):
        h = QOperation("add", name=f"sum_{n}")([h, QDense(4, name=f"dense_{n}")(h)])
    model = keras.Model(inputs, h, name="chain")
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def derivations(monkeypatch):
    """Count how often a width is derived."""
    counted: list[object] = []
    derive = derived.Derivation._derive

    def counting(self, tensor, shape):
        counted.append(tensor)
        return derive(self, tensor, shape)

    monkeypatch.setattr(derived.Derivation, "_derive", counting)
    return counted


@pytest.mark.parametrize(
    "use",
    [lambda model: model(SAMPLES, training=True), hgq2_core.ebops, hgq2_core.summary],
    ids=["call", "ebops", "summary"],
)
def test_twice_the_operations_derive_twice_the_widths(use, derivations):
    counts = []
    for sums in (3, 6):
        model = chain(sums)
        model.train_on_batch(SAMPLES, SAMPLES)  # Keras asks for shapes at first
        derivations.clear()
        use(model)
        counts.append(len(derivations))
    assert counts[1] == 2 * counts[0] > 0


def number(tensor: object) -> float:
    return float(keras.ops.convert_to_numpy(tensor))


def test_the_cost_of_a_step_is_that_of_each_layer_alone():
    model = chain(3)
    model(SAMPLES)
    layers = model.layers[1:]
    alone = [number(layer.ebops_beta) * number(layer.ebops()) for layer in layers]
    penalties = [each.penalty() for layer in layers for each in layer.quantizers]
    alone += [number(penalty) for penalty in penalties if penalty is not None]
    assert sum(map(number, model.losses)) == pytest.approx(sum(alone), rel=1e-6)


def test_the_next_step_derives_the_bits_that_training_has_changed():
    model = chain(2)
    before = hgq2_core.ebops(model)
    for variable in model.get_layer("first").slot_quantizer("kernel").trainable_variables:
        variable.assign(variable - 2.0)
    model(SAMPLES)
    after = hgq2_core.ebops(model)
    assert after < before
    assert after == pytest.approx(sum(number(layer.ebops()) for layer in model.layers[1:]), rel=1e-6)
