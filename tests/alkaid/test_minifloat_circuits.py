"""Keras = integers = circuit for minifloats, in gates by exponent and as tables."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from selection import few

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from alkaid.trace import FVariable, HWConfig, trace

from hgq2_alkaid.arrays import HardwareArrays
from hgq2_core import export
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.export import exporter_of
from hgq2_core.exporting.exporter import Simulation
from hgq2_fixed_point import KIF
from hgq2_layers import QDense
from hgq2_minifloat import Float4E2M1FN, Float6E2M3FN, Float6E3M2FN, Float8E4M3FN, Float8E5M2, Minifloat, quantize
from hgq2_minifloat.exact import by_magnitude, by_value, exact_quantize
from hgq2_minifloat.formats import STANDARDS, Format

HWCONF = HWConfig(1, 1, -1)
INPUT = (1, 3, 4)


def mlp(first, activation, weight, bias=None):
    keras.utils.set_random_seed(4)
    shared = {"kernel_quantizer": weight, "bias_quantizer": bias, "bias_initializer": "random_normal"}
    return keras.Sequential(
        [
            keras.Input((6,), name="x"),
            QDense(5, "relu", input_quantizer=first, name="hidden", **shared),
            QDense(3, input_quantizer=activation, output_quantizer=activation, name="logits", **shared),
        ]
    )


def scattered_bits():
    """A format for each element, pruned ones and fixed point among them."""
    model = mlp(*[Minifloat()] * 4)
    rng = np.random.default_rng(3)
    for layer in model.layers:
        for quantizer in layer.quantizers:
            for variable, low, high in ((quantizer.m, -1, 4), (quantizer.e, 0, 4), (quantizer.e0, -2, 3)):
                variable.assign(rng.integers(low, high, size=variable.shape).astype(np.float32))
    return model


ALL_MINIFLOAT = {
    "FP4": lambda: mlp(Float6E2M3FN(), Float4E2M1FN(), Float4E2M1FN(), Float6E2M3FN()),
    "FP6": lambda: mlp(Float6E3M2FN(), Float6E3M2FN(), Float6E2M3FN(), Float6E3M2FN()),
    "FP8": lambda: mlp(Float8E4M3FN(), Float8E4M3FN(), Float4E2M1FN(block={"size": 4}), Float6E3M2FN()),
    "scattered": scattered_bits,
}
MIXED = {
    "fixed point first": lambda: mlp(KIF(i=2, f=3, overflow_mode="SAT"), Float6E3M2FN(), Float8E4M3FN()),
    "fixed point weights": lambda: mlp(KIF(i=3, f=4), Float8E4M3FN(), None),
    "minifloat weights": lambda: mlp(KIF(i=3, f=2), KIF(i=3, f=2, overflow_mode="WRAP"), Float8E5M2()),
    "trained": lambda: mlp(KIF(i=2, f=3), Minifloat(m=2, e=3, e0=1), Minifloat(m=1, e=3, e0=-1, granularity="tensor")),
}


def on_grid(x):
    """Of the format that the circuit's inputs are given."""
    return np.clip(np.round(x * 16) / 16, -8, 8 - 1 / 16).astype(np.float32)


@pytest.mark.parametrize("name", few(ALL_MINIFLOAT, "FP8", "scattered"))
def test_a_model_of_minifloats_alone_agrees(name, fixed, inputs, agree):
    model = fixed(ALL_MINIFLOAT[name]())
    agree(model, INPUT, on_grid(inputs(model)))


@pytest.mark.parametrize("name", few(MIXED, "minifloat weights", "trained"))
def test_a_model_of_both_kinds_agrees(name, fixed, agree):
    agree(fixed(MIXED[name]()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_MINIFLOAT)
def test_icarus_agrees_on_minifloats_alone(name, fixed, icarus, inputs, tmp_path):
    model = fixed(ALL_MINIFLOAT[name]())
    report = export(model, "alkaid", tmp_path / "out", on_grid(inputs(model)), input_format=INPUT)
    assert report.checked >= 1000
    assert exporter_of("alkaid").simulate(tmp_path / "out") == Simulation(report.checked, mismatches=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXED)
def test_icarus_agrees_on_both_kinds(name, fixed, icarus, inputs, tmp_path):
    model = fixed(MIXED[name]())
    report = export(model, "alkaid", tmp_path / "out", inputs(model))
    assert report.checked >= 1000
    assert exporter_of("alkaid").simulate(tmp_path / "out") == Simulation(report.checked, mismatches=0)


def numbers(k, i, f):
    return np.arange(-k * 2 ** (i + f), 2 ** (i + f)) / 2.0**f


@pytest.mark.parametrize("statement", [by_value, by_magnitude])
@pytest.mark.parametrize(
    "form", [STANDARDS["float4_e2m1fn"], STANDARDS["float8_e4m3fn"], Format(0, 3, 0), Format(2, 0, 1)]
)
@pytest.mark.parametrize("bits", [(1, 4, 4), (0, 3, 5), (1, 0, 6)])
def test_every_statement_gives_the_same_on_every_input(statement, form, bits):
    """Each alone, as alkaid's interpreter and the integers have it."""
    x = numbers(*bits)
    wanted = to_float(Integers().table(from_float(x), lambda v: quantize(v, *form)))
    assert to_float(statement(Integers(), from_float(x), form)).tolist() == wanted.tolist()
    arrays = HardwareArrays(HWCONF)
    variable = FVariable.from_kif(*bits, hwconf=HWCONF)
    result = statement(arrays, np.array([variable], dtype=object), form)
    logic = trace([variable], list(result))
    assert logic.predict(x[:, np.newaxis]).ravel().tolist() == wanted.tolist()


def test_the_cheapest_statement_is_chosen():
    """A table for few bits of input, gates by exponent for many."""

    def operations(bits):
        variable = FVariable.from_kif(*bits, hwconf=HWCONF)
        formats = np.array([[3, 4, 1]])
        (result,) = exact_quantize(HardwareArrays(HWCONF), np.array([variable], dtype=object), formats, 448.0)
        return {op.opcode for op in trace([variable], [result]).ops}

    assert len(operations((1, 3, 2))) == 2  # the input and its table
    assert len(operations((1, 6, 9))) > 3
