"""Models for export, and the comparison of everything that computes them."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pytest

from hgq2_core import calibrate, freeze
from hgq2_core.keras_graph.traversal import layers_of, model_inputs
from hgq2_core.quantizers.base import Quantizer

SAMPLES = 1000


@pytest.fixture
def scattered():
    """Set every bit variable and every weight to uneven values, some of them pruned; then calibrate on few values."""

    def scatter(model, seed=0):
        rng = np.random.default_rng(seed)
        for layer in layers_of(model):
            for variable in layer.variables:
                if isinstance(layer, Quantizer) and variable.name in RANGES:
                    low, high = RANGES[variable.name]
                    variable.assign(rng.integers(low, high, size=tuple(variable.shape)).astype(np.float32))
                elif variable.name in ("kernel", "bias"):
                    variable.assign(rng.normal(size=tuple(variable.shape)).astype(np.float32) * 2)
        calibrate(model, few(model))
        return model

    return scatter


RANGES = {"b": (0, 6), "i": (-1, 3), "f": (-2, 5)}


def inputs_of(model, samples=SAMPLES):
    """Values of which many lie outside the calibrated ranges, and some on ties."""
    rng = np.random.default_rng(5)
    values = [rng.normal(size=(samples, *tensor.shape[1:])).astype(np.float32) * 3 for tensor in model.inputs]
    values = [np.where(rng.random(each.shape) < 0.3, np.round(each * 8) / 8, each) for each in values]
    return values if len(values) > 1 else values[0]


def few(model):
    """Values to calibrate on, all smaller than those to compare on."""
    return keras.tree.map_structure(lambda each: each[:50] / 3, inputs_of(model))


@pytest.fixture
def fixed():
    """Calibrate on few values, with the bits as they are."""

    def calibrated(model):
        calibrate(model, few(model))
        return model

    return calibrated


@pytest.fixture
def inputs():
    return inputs_of


@pytest.fixture
def agree():
    """Compare Keras, the integers and alkaid's interpreter, sample by sample, with ==."""
    from alkaid.trace import HWConfig

    from hgq2_alkaid.circuit import build
    from hgq2_core.exporting.vectors import expected

    def compare(model, input_format=None, x=None):
        frozen = freeze(model)
        x = inputs_of(model) if x is None else x
        circuit = build(frozen, HWConfig(1, 1, -1), input_format, estimate=False)
        predicted = keras.tree.flatten(frozen.predict(x, verbose=0))
        keras_says = np.concatenate([np.asarray(each).reshape(len(each), -1) for each in predicted], axis=1)
        given = model_inputs(frozen, x)
        integers_say = expected(frozen, given)
        circuit_says = circuit.interpret(circuit.quantize_inputs(given))
        assert len(integers_say) >= SAMPLES
        assert (keras_says != integers_say).sum() == 0
        assert (circuit_says != integers_say).sum() == 0
        return circuit

    return compare


@pytest.fixture
def icarus():
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed: apt-get install iverilog")
