"""Integers equal Keras, and circuits equal the integers, for every form of attention; NUMERICS 8."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pytest

from hgq2_attention import QLinformerAttention, QMultiHeadAttention
from hgq2_core import defaults, export, freeze, verify
from hgq2_core.exporting import exporter_of
from hgq2_core.graph import model_inputs
from hgq2_fixed_point import KIF

SAMPLES = 2000
MODES = ("WRAP", "SAT_SYM")
FORMS = {
    "self": ({}, [(4, 6)], {}, None),
    "cross": ({}, [(4, 6), (5, 3)], {}, None),
    "key of its own": ({"value_dim": 3}, [(4, 6), (5, 3), (5, 2)], {}, None),
    "causal": ({}, [(4, 6)], {"use_causal_mask": True}, None),
    "window": ({"sliding_window": 2}, [(4, 6)], {}, None),
    "masked": ({}, [(4, 6)], {}, (4, 4)),
    "masked, with scores": ({}, [(4, 6), (5, 3)], {"return_attention_scores": True}, (4, 5)),
    "unstable": ({"stable": False}, [(4, 6)], {}, (4, 4)),
    "4-D": ({}, [(2, 3, 4)], {}, None),
    "4-D, one axis": ({"attention_axes": 2}, [(2, 3, 4)], {"use_causal_mask": True}, None),
    "4-D, masked": ({"attention_axes": 1}, [(2, 3, 4)], {}, (2, 2)),
    "kv": ({"fuse": "kv", "value_dim": 2}, [(4, 6), (5, 3)], {}, None),
    "qkv": ({"fuse": "qkv", "value_dim": 2}, [(4, 6)], {"use_causal_mask": True}, None),
    "output quantizer": ({"output_quantizer": "kif", "use_bias": False}, [(4, 6)], {}, None),
}


def scope(mode):
    activation = KIF(i=2, f=3, overflow_mode=mode)
    return defaults(activation=activation, weight={"kind": "kbi", "b": 4, "i": 1}, bias={"kind": "kbi", "b": 4})


def pairs(forms):
    """Each form in one mode, and the other mode among the slow tests."""
    return [
        pytest.param(form, mode, marks=pytest.mark.slow if mode != MODES[n % 2] else ())
        for n, form in enumerate(forms)
        for mode in MODES
    ]


@pytest.mark.parametrize(("form", "mode"), list(pairs(FORMS)))
def test_integers_equal_keras(attention, form, mode):
    arguments, shapes, call, mask_shape = FORMS[form]
    with scope(mode):
        layer = QMultiHeadAttention(2, 3, **arguments)
    model, data = attention.calibrated(layer, shapes, SAMPLES, mask_shape, **call)
    report = verify(model, data)
    assert (report.mismatches, report.samples) == (0, SAMPLES)
    assert all(row.float32_enough for row in report.layers)
    outputs = keras.tree.flatten(model.predict(data, verbose=0))
    assert len(np.unique(outputs[0])) > 10


@pytest.mark.parametrize("heads", [1, 3, 4])
def test_any_number_of_heads(attention, heads):
    with scope("WRAP"):
        model, data = attention.calibrated(QMultiHeadAttention(heads, 2), [(4, 6)], SAMPLES)
    assert verify(model, data).mismatches == 0


def test_rows_without_any_position_are_zero(attention):
    with scope("SAT_SYM"):
        layer = QMultiHeadAttention(2, 3)
    model, (x, mask) = attention.calibrated(layer, [(4, 6)], 200, (4, 4), return_attention_scores=True)
    _, scores = model.predict([x, mask], verbose=0)
    empty = ~mask.any(axis=-1)
    assert empty.sum() > 50
    assert (scores.transpose(0, 2, 1, 3)[empty] == 0).all()
    assert (np.abs(scores.transpose(0, 2, 1, 3)[~empty]).max(axis=(-1, -2)) > 0).any()


LINFORMERS = {
    "shared": ({"projected_length": 2}, [(4, 3)]),
    "separate": ({"projected_length": 3, "share_sequence_projection": False}, [(4, 3), (5, 3)]),
    "kv": ({"projected_length": 2, "fuse": "kv"}, [(4, 3), (5, 2)]),
    "several axes": ({"projected_length": [2, 1], "attention_axes": [1, 2]}, [(2, 3, 2)]),
    "one axis of several": ({"projected_length": 2, "attention_axes": 2}, [(2, 3, 2)]),
}


@pytest.mark.parametrize(("form", "mode"), list(pairs(LINFORMERS)))
def test_linformer(attention, form, mode):
    arguments, shapes = LINFORMERS[form]
    with scope(mode):
        layer = QLinformerAttention(2, 3, **arguments)
    model, data = attention.calibrated(layer, shapes, SAMPLES)
    report = verify(model, data)
    assert (report.mismatches, report.samples) == (0, SAMPLES)
    assert len(np.unique(model.predict(data, verbose=0))) > 10


def small(attention, form, samples):
    """A frozen model of few bits, and its data."""
    with defaults(
        activation=KIF(i=1, f=2, overflow_mode="SAT_SYM"),
        weight={"kind": "kbi", "b": 2, "i": 0},
        bias={"kind": "kbi", "b": 2},
        table={"kind": "kif", "k": 0, "i": 1, "f": 3, "overflow_mode": "SAT"},
    ):
        if form in FORMS:
            arguments, shapes, call, mask_shape = FORMS[form]
            layer = QMultiHeadAttention(1, 2, **arguments)
        else:
            (arguments, shapes), call, mask_shape = LINFORMERS[form], {}, None
            layer = QLinformerAttention(1, 2, **arguments)
    model, data = attention.calibrated(layer, shapes, samples, mask_shape, **call)
    return freeze(model), data


@pytest.mark.once
@pytest.mark.parametrize("form", [*FORMS, *LINFORMERS])
def test_circuits_equal_the_integers(attention, form):
    alkaid = pytest.importorskip("alkaid.trace", reason="alkaid is not installed")
    from hgq2_alkaid.circuit import build, expected

    frozen, data = small(attention, form, 200)
    circuit = build(frozen, alkaid.HWConfig(1, 1, -1))
    given = model_inputs(frozen, data)
    assert (circuit.interpret(circuit.quantize_inputs(given)) != expected(frozen, given)).sum() == 0


@pytest.mark.slow
@pytest.mark.parametrize("form", ["self", "causal", "cross", "shared"])
def test_the_simulated_circuit_equals_the_integers(attention, form, tmp_path):
    pytest.importorskip("alkaid.trace", reason="alkaid is not installed")
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed: apt-get install iverilog")
    frozen, data = small(attention, form, 100)
    report = export(frozen, "alkaid", tmp_path / "out", x=data)
    assert exporter_of("alkaid").simulate(report.path).mismatches == 0
