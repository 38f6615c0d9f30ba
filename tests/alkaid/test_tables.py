"""Models with lookup tables: Keras = integers = alkaid's interpreter = Icarus Verilog."""

from __future__ import annotations

import keras
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")


from hgq2_core import export
from hgq2_core.exporting.export import exporter_of
from hgq2_core.exporting.exporter import Simulation
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import (
    QAffineUnaryFunction,
    QConv1DLUT,
    QDense,
    QDenseLUT,
    QEinsumDenseLUT,
    QEmbedding,
    QHardSigmoid,
    QHardTanh,
    QLeakyReLU,
    QPReLU,
    QReLU,
    QUnaryFunction,
)

NARROW = KIF(i=2, f=2, overflow_mode="SAT", granularity="tensor")
PAIRS = KBI(b=4, i=1, overflow_mode="SAT", granularity="element")

ROUGH = {"kind": "random_normal", "stddev": 1.0}


def chain(*layers, shape=(4,)):
    keras.utils.set_random_seed(2)
    return keras.Sequential([keras.Input(shape, name="x"), *layers])


def functions():
    return chain(
        QDense(4, name="in"),
        QUnaryFunction("tanh", name="bend"),
        QAffineUnaryFunction("silu", per_channel=True, scale_initializer=ROUGH, input_quantizer=NARROW, name="turn"),
        QHardSigmoid(input_quantizer=NARROW, table_quantizer=KIF(f=4, overflow_mode="WRAP"), name="gate"),
        QDense(2, name="out"),
    )


def first():
    """A table in front: the host quantizes its inputs, symmetrically."""
    symmetric = KIF(i=2, f=2, overflow_mode="SAT_SYM", granularity="tensor")
    return chain(QUnaryFunction("gelu", input_quantizer=symmetric, name="bend"), QDense(2, name="out"))


def straight():
    return chain(
        QPReLU("random_normal", name="own"),
        QDense(4, name="in"),
        QLeakyReLU(name="leaky"),
        QReLU(max_value=1.5, threshold=0.25, name="cut"),
        QHardTanh(output_quantizer=NARROW, name="clip"),
    )


def networks():
    return chain(
        QConv1DLUT(2, 2, 2, padding="same", input_quantizer=NARROW, table_quantizer=PAIRS, name="windows"),
        QEinsumDenseLUT("abc,bd->adc", (2, None), input_quantizer=NARROW, table_quantizer=PAIRS, name="einsum"),
        keras.layers.Flatten(name="flat"),
        QDenseLUT(2, "relu", input_quantizer=NARROW, table_quantizer=PAIRS, name="pairs"),
        shape=(3, 2),
    )


def words():
    return chain(
        QEmbedding(6, 2, embeddings_initializer=ROUGH, name="rows"),
        keras.layers.Flatten(name="flat"),
        QDense(2, name="out"),
    )


EVERY_MODEL = pytest.mark.parametrize("make", [functions, first, straight, networks, words])


@EVERY_MODEL
def test_keras_integers_and_circuit_agree(make, fixed, agree):
    agree(fixed(make()))


@pytest.mark.slow
@EVERY_MODEL
def test_icarus_agrees(make, fixed, inputs, icarus, tmp_path):
    model = fixed(make())
    report = export(model, "alkaid", tmp_path / "out", inputs(model))
    assert exporter_of("alkaid").simulate(tmp_path / "out") == Simulation(report.checked, mismatches=0)
