"""An independent statement of the affine layers' arithmetic and cost, in float64 numpy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from arrays import float64_of as numpy_of

from hgq2_fixed_point import quantize


def quantized(quantizer, values):
    """By the plain function, from the format that the variables say."""
    config, values = quantizer.config, np.asarray(values, dtype=np.float64)
    bits = {name: np.rint(numpy_of(variable)) for name, variable in named(quantizer).items()}
    overflow_mode = config.overflow_mode
    if "i" not in bits:
        bits["i"], overflow_mode = smallest(quantizer, values), "SAT"
    f = bits["f"] if "f" in bits else bits["b"] - bits["i"]
    k = bits.get("k", np.float64(config.k))
    return quantize(values, k, bits["i"], f, config.round_mode, overflow_mode)


def named(quantizer):
    return {variable.name: variable for variable in quantizer.variables if len(variable.name) == 1}


def smallest(quantizer, values):
    """For a wrapping weight with bits per element: by trying, within the bounds."""
    lower, upper = map(int, quantizer.config.i_bounds)
    found = np.full(values.shape, upper, dtype=np.float64)
    width = np.broadcast_to(np.rint(numpy_of(quantizer.b)), values.shape)
    for index, value in np.ndenumerate(values):
        for i in range(lower, upper):
            f = width[index] - i
            if quantize(value, 1, i, f, "RND", "SAT") == quantize(value, 1, i + 20, f, "RND", "SAT"):
                found[index] = i
                break
    return found


def counted(quantizer, shape):
    """Bits as docs/numerics.md#7 counts them, spread over a shape without batch."""
    bits = {name: np.rint(numpy_of(variable)) for name, variable in named(quantizer).items()}
    width = bits["b"] if "b" in bits else bits["i"] + bits["f"]
    if quantizer.config.overflow_mode in ("SAT", "SAT_ZERO"):
        width = width + quantizer.config.k
    width = np.maximum(width, 0)
    return np.broadcast_to(width[0] if quantizer.slot.batched else width, shape)


@pytest.fixture
def independent():
    return SimpleNamespace(quantized=quantized, counted=counted, numpy_of=numpy_of)


@pytest.fixture
def scatter_bits():
    """Return the bits of a layer uneven values."""

    def apply(layer, seed=0):
        rng = np.random.default_rng(seed)
        for quantizer in layer.quantizers:
            for name, variable in named(quantizer).items():
                low, high = {"b": (0, 7), "i": (-1, 3), "f": (-1, 5), "k": (0, 2)}[name]
                variable.assign(rng.integers(low, high, size=tuple(variable.shape)).astype(np.float32))
        return rng

    return apply


@pytest.fixture
def scatter(scatter_bits):
    """Return the bits of a layer uneven values, and the weights too."""

    def apply(layer, seed=0):
        rng = scatter_bits(layer, seed)
        for variable in (layer.kernel, layer.bias):
            if variable is not None:
                variable.assign(rng.normal(size=tuple(variable.shape)).astype(np.float32) * 2)

    return apply
