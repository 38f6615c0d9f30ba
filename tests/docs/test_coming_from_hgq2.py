"""The page for users of HGQ2 and QKeras: a trained model is carried over, and what stands for a name computes the same.

`trained_by_hgq2.npz` holds the variables of the page's program after a training by hgq2 0.2.0 on torch, and
`outputs_of_hgq2.npz` what that model gave for the first 64 test samples of digits.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from code_blocks import failures

import hgq2_attention
import hgq2_fixed_point
import hgq2_layers
import hgq2_minifloat
from hgq2_core import calibrate, defaults
from hgq2_fixed_point import KIF

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "coming_from_hgq2.md"
X = np.linspace(-5, 5, 2001, dtype=np.float32)[:, None]
BITS, INTEGER, THRESHOLD = 6, 1, 0.25

pytestmark = pytest.mark.once


@pytest.mark.slow
def test_a_model_trained_by_hgq2_is_carried_over_to_the_last_bit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(HERE / "trained_by_hgq2.npz", "trained.npz")
    shutil.copy(HERE / "outputs_of_hgq2.npz", tmp_path)
    assert failures(PAGE) == []


def rounded(x: np.ndarray, bits: int, integer: int, low: int, high: int) -> np.ndarray:
    """Return x on the levels low to high of a step of 2^(integer - bits), a half to the even one."""
    step = 2.0 ** (integer - bits)
    return np.clip(np.round(x / step), low, high) * step


def hard_sigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x / 2 + 0.5, 0, 1)


FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "quantized_bits(bits, integer)": lambda x: rounded(x, BITS - 1, INTEGER, -(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1),
    "quantized_bits(bits, integer, symmetric=1)": lambda x: rounded(
        x, BITS - 1, INTEGER, 1 - 2 ** (BITS - 1), 2 ** (BITS - 1) - 1
    ),
    "quantized_bits(bits, integer, keep_negative=0)": lambda x: rounded(x, BITS, INTEGER, 0, 2**BITS - 1),
    "quantized_bits(1, 0)": lambda x: np.where(x >= 0, 1, -1),
    "ternary()": lambda x: np.sign(x) * (np.abs(x) >= 0.33),
    "ternary(threshold=t)": lambda x: np.sign(x) * (np.abs(x) >= THRESHOLD),
    "quantized_relu(bits, integer)": lambda x: rounded(x, BITS, INTEGER, 0, 2**BITS - 1),
    "quantized_tanh(bits)": lambda x: rounded(
        2 * hard_sigmoid(x) - 1, BITS - 1, 0, 1 - 2 ** (BITS - 1), 2 ** (BITS - 1) - 1
    ),
    "quantized_sigmoid(bits)": lambda x: rounded(hard_sigmoid(x), BITS, 0, 0, 2**BITS - 1),
}
"""What QKeras computes with `alpha=1`; the least value of its sigmoid left out, as the page says."""


def rows() -> dict[str, str]:
    """Return what the page has in the place of each quantizer, by its name there."""
    table = PAGE.read_text(encoding="utf-8").partition("### Quantizers and activations")[2]
    found = {}
    for line in re.findall(r"^\| (`\w+\(.*) \|$", table, re.MULTILINE):
        there, ours = line.split(" | ")
        found |= dict(zip(re.findall(r"`([^`]+)`", there), re.findall(r"`([A-Z][^`]+)`", ours) * 2, strict=False))
    if "ternary()" in found:
        found["ternary(threshold=t)"] = "Ternary(threshold=t)"
    return found


@pytest.mark.parametrize("name", FORMULAS)
def test_what_stands_for_a_quantizer_of_qkeras_computes_the_same(name):
    names: dict[str, Any] = {"bits": BITS, "integer": INTEGER, "t": THRESHOLD}
    with defaults(activation=KIF(i=3, f=16, overflow_mode="SAT")):  # of the inputs, which QKeras leaves in floats
        ours = eval(rows()[name], {**_classes(), **names})
        layer = ours if isinstance(ours, keras.Layer) else hgq2_layers.QQuantize(ours)
        model = keras.Sequential([keras.Input((1,)), layer])
    x = np.round(X * 2**10) / 2**10
    calibrate(model, x)
    np.testing.assert_array_equal(model.predict(x, verbose=0), FORMULAS[name](x.astype(np.float64)).astype(np.float32))


def _classes() -> dict[str, Any]:
    return {name: getattr(package, name) for package in (hgq2_fixed_point, hgq2_layers) for name in package.__all__}


def test_the_fields_and_arguments_of_the_page_exist():
    text = PAGE.read_text(encoding="utf-8").partition("### Fields")[2].partition("### A program")[0]
    fields, arguments = (
        {name for line in re.findall(r"^\| .* \| (.*) \|$", part, re.MULTILINE) for name in re.findall(r"\w+", line)}
        for part in text.split("| argument of a layer")
    )
    quantizers = (hgq2_fixed_point.KBI, hgq2_fixed_point.KIF, hgq2_minifloat.Minifloat)
    known = {field for each in quantizers for field in each.model_fields}
    wanted = {name for name in fields if re.fullmatch(r"[bifme]0?_\w+|i_decay|noise|granularity|trainable", name)}
    assert len(wanted) > 12 and wanted <= known
    layers = (hgq2_layers.QDense, hgq2_layers.QDenseLUT, hgq2_attention.QSoftmax, hgq2_attention.QMultiHeadAttention)
    known = {argument for each in layers for argument in each.__init__.__signature__.parameters}
    wanted = {
        name for name in arguments if re.fullmatch(r"\w+_quantizer|ebops_\w+|enable_\w+|hidden_\w+|table_inputs", name)
    }
    assert len(wanted) > 15 and wanted <= known
