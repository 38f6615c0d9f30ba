"""A convolutional network on digits: it trains, and Keras, the integers, the circuit and Icarus Verilog agree."""

from __future__ import annotations

import keras
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from hgq2_core import calibrate, defaults, export, verify
from hgq2_core.exporting.export import exporter_of
from hgq2_core.exporting.exporter import Simulation
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QAveragePooling2D, QConv2D, QDense, QDepthwiseConv2D, QMaxPooling2D
from hgq2_training.datasets.digits import Digits

pytestmark = pytest.mark.slow


def network():
    """All kinds of windows: unpadded, padded, per channel, maxima of ours and of Keras, averages by a reciprocal."""
    keras.utils.set_random_seed(6)
    narrow = KBI(b=4, i=1, granularity="channel")
    with defaults(weight=narrow, activation=KIF(f=3, granularity="channel"), ebops_beta=1e-7):
        return keras.Sequential(
            [
                keras.Input((8, 8, 1), name="pixels"),
                QConv2D(8, 3, activation="relu", name="edges"),
                QMaxPooling2D(2, name="strongest"),
                QDepthwiseConv2D(2, padding="same", name="apart"),
                keras.layers.MaxPooling2D(2, strides=1, padding="same", name="near"),
                QConv2D(6, 2, padding="same", activation="relu", name="together"),
                QAveragePooling2D((3, 1), reciprocal_quantizer=KBI(b=4, i=0), name="mean"),
                keras.layers.Flatten(name="flat"),
                QDense(10, name="logits"),
            ]
        )


@pytest.fixture(scope="module")
def trained():
    data = Digits(shape=[8, 8, 1]).load()
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit(data.train.x, data.train.y, epochs=12, batch_size=64, verbose=0)
    calibrate(model, data.train.x)
    return model, data


def test_it_learns_and_verifies(trained):
    model, data = trained
    accuracy = model.evaluate(data.test.x, data.test.y, verbose=0, return_dict=True)["accuracy"]
    assert accuracy > 0.8
    report = verify(model, data.train.x)
    assert report.ok
    assert report.mismatches == 0
    assert report.samples == len(data.train.x) > 1000


def test_keras_integers_and_circuit_agree(trained, agree):
    model, data = trained
    agree(model, x=data.train.x)


def test_icarus_agrees(trained, icarus, tmp_path):
    model, data = trained
    report = export(model, "alkaid", tmp_path / "out", data.test.x[:100])
    assert report.checked > 100
    assert exporter_of("alkaid").simulate(tmp_path / "out") == Simulation(report.checked, mismatches=0)
