"""Integers equal Keras, and circuits equal the integers, for every form of attention; docs/numerics.md#8."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pytest
from selection import few

from hgq2_attention import QGroupedQueryAttention, QLinformerAttention, QMultiHeadAttention
from hgq2_core import defaults, export, freeze, verify
from hgq2_core.exporting.export import exporter_of
from hgq2_core.keras_graph.traversal import model_inputs
from hgq2_fixed_point import KIF

SAMPLES = 2048
MODES = ("WRAP", "SAT_SYM")


@dataclass(frozen=True)
class Form:
    """A layer and how it is called: the arguments, the shapes of its inputs, options, and the shape of a mask."""

    layer: type
    arguments: dict[str, Any] = field(default_factory=dict)
    shapes: Sequence[tuple[int, ...]] = ((4, 6),)
    call: dict[str, Any] = field(default_factory=dict)
    mask_shape: tuple[int, ...] | None = None


SIZES = {
    QMultiHeadAttention: {"num_heads": 2, "key_dim": 3},
    QLinformerAttention: {"num_heads": 2, "key_dim": 3},
    QGroupedQueryAttention: {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
}
SMALL = {
    QMultiHeadAttention: {"num_heads": 1, "key_dim": 2},
    QLinformerAttention: {"num_heads": 1, "key_dim": 2},
    QGroupedQueryAttention: {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1},
}
CROSS = ((4, 6), (5, 6))
# Few different shapes, as jax compiles each operation once for each.
FORMS = {
    "self": Form(QMultiHeadAttention),
    "cross": Form(QMultiHeadAttention, {}, CROSS),
    "key of its own": Form(QMultiHeadAttention, {"value_dim": 2}, ((4, 6), (5, 3), (5, 2))),
    "causal": Form(QMultiHeadAttention, call={"use_causal_mask": True}),
    "window": Form(QMultiHeadAttention, {"sliding_window": 2}),
    "masked": Form(QMultiHeadAttention, mask_shape=(4, 4)),
    "masked, with scores": Form(QMultiHeadAttention, {}, CROSS, {"return_attention_scores": True}, (4, 5)),
    "unstable": Form(QMultiHeadAttention, {"stable": False}, mask_shape=(4, 4)),
    "4-D": Form(QMultiHeadAttention, {}, ((2, 3, 6),)),
    "4-D, one axis": Form(QMultiHeadAttention, {"attention_axes": 2}, ((2, 3, 6),), {"use_causal_mask": True}),
    "4-D, masked": Form(QMultiHeadAttention, {"attention_axes": 1}, ((2, 3, 6),), {}, (2, 2)),
    "kv": Form(QMultiHeadAttention, {"fuse": "kv", "value_dim": 2}, CROSS),
    "qkv": Form(QMultiHeadAttention, {"fuse": "qkv", "value_dim": 2}, call={"use_causal_mask": True}),
    "output quantizer": Form(QMultiHeadAttention, {"output_quantizer": "kif", "use_bias": False}),
    "gated": Form(QMultiHeadAttention, {"use_gate": True}),
    "grouped": Form(QGroupedQueryAttention, {}, CROSS, {"return_attention_scores": True}),
    "grouped, masked": Form(QGroupedQueryAttention, mask_shape=(4, 4), call={"use_causal_mask": True}),
    "grouped, 4-D, gated": Form(QGroupedQueryAttention, {"use_gate": True}, ((2, 3, 6),)),
    "Linformer": Form(QLinformerAttention, {"projected_length": 2}),
    "Linformer, separate": Form(
        QLinformerAttention, {"projected_length": 3, "share_sequence_projection": False}, CROSS
    ),
    "Linformer, kv": Form(QLinformerAttention, {"projected_length": 2, "fuse": "kv"}, CROSS),
    "Linformer, several axes": Form(
        QLinformerAttention, {"projected_length": [2, 1], "attention_axes": [1, 2]}, ((2, 3, 6),)
    ),
    "Linformer, one axis of several": Form(
        QLinformerAttention, {"projected_length": 2, "attention_axes": 2}, ((2, 3, 6),)
    ),
}


def scope(mode):
    activation = KIF(i=2, f=3, overflow_mode=mode)
    return defaults(activation=activation, weight={"kind": "kbi", "b": 4, "i": 1}, bias={"kind": "kbi", "b": 4})


ON_EACH_BACKEND = {"self", "cross", "causal", "masked", "4-D", "kv", "qkv", "gated", "grouped", "Linformer"}
"""The forms that differ in what they compute, and not only in how that is arranged."""


def pairs():
    """What differs in what it computes in one mode; the rest, and the other mode, among the slow tests."""
    for n, form in enumerate(FORMS):
        for mode in MODES:
            marks = [] if form in ON_EACH_BACKEND else [pytest.mark.once]
            marks += [] if mode == MODES[n % 2] and form in ON_EACH_BACKEND else [pytest.mark.slow]
            yield pytest.param(form, mode, marks=marks)


def modelled(attention, name, sizes, samples):
    """A calibrated model of a form, and its data."""
    form = FORMS[name]
    layer = form.layer(**sizes[form.layer], **form.arguments)
    return attention.calibrated(layer, form.shapes, samples, form.mask_shape, **form.call)


@pytest.mark.parametrize(("form", "mode"), list(pairs()))
def test_integers_equal_keras(attention, form, mode):
    with scope(mode):
        model, data = modelled(attention, form, SIZES, SAMPLES)
    report = verify(model, data)
    assert (report.mismatches, report.samples) == (0, SAMPLES)
    assert all(row.float32_enough for row in report.layers)
    # Eagerly, as in calibration: jax has compiled each operation by now.
    outputs = keras.tree.flatten(model(data, training=False))
    assert len(np.unique(attention.numpy_of(outputs[0]))) > 10


@pytest.mark.once
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


def small(attention, form, samples):
    """A frozen model of few bits, and its data."""
    with defaults(
        activation=KIF(i=1, f=2, overflow_mode="SAT_SYM"),
        weight={"kind": "kbi", "b": 2, "i": 0},
        bias={"kind": "kbi", "b": 2},
        table={"kind": "kif", "k": 0, "i": 1, "f": 3, "overflow_mode": "SAT"},
    ):
        model, data = modelled(attention, form, SMALL, samples)
    return freeze(model), data


@pytest.mark.once
@pytest.mark.parametrize("form", few(FORMS, "causal", "gated", "grouped, masked", "Linformer"))
def test_circuits_equal_the_integers(attention, form):
    alkaid = pytest.importorskip("alkaid.trace", reason="alkaid is not installed")
    from hgq2_alkaid.circuit import build
    from hgq2_core.exporting.vectors import expected

    frozen, data = small(attention, form, 200)
    circuit = build(frozen, alkaid.HWConfig(1, 1, -1), estimate=False)
    given = model_inputs(frozen, data)
    assert (circuit.interpret(circuit.quantize_inputs(given)) != expected(frozen, given)).sum() == 0


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("form", ["self", "causal", "cross", "gated", "grouped, masked", "Linformer"])
def test_the_simulated_circuit_equals_the_integers(attention, form, tmp_path):
    pytest.importorskip("alkaid.trace", reason="alkaid is not installed")
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed: apt-get install iverilog")
    frozen, data = small(attention, form, 100)
    report = export(frozen, "alkaid", tmp_path / "out", x=data)
    assert exporter_of("alkaid").simulate(report.path).mismatches == 0
