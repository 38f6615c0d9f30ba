"""Activations that wrap, in inference: batches that are all in range, which are only rounded, and others."""

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core.quantizers.config import Slot
from hgq2_fixed_point import KIF, quantize

ROUND_MODES = ["TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF", "RND_CONV"]
FORMATS = np.array([[1, 2, 3], [0, 2, 3], [1, -1, 4], [0, 3, -2], [1, 0, 0], [1, 0, -1], [1, 20, 10], [0, 4, 24]])
"""k, i and f; the sixth has no bits, the last two have more than float32."""


def quantizer(round_mode):
    made = KIF(overflow_mode="WRAP", round_mode=round_mode).build(Slot("activation", "input", "layer"))
    made.build((None, len(FORMATS)))
    for variable, values in zip((made.k, made.i, made.f), FORMATS.T, strict=True):
        variable.assign(values[None].astype(np.float32))
    return made


def expected(x, round_mode):
    return quantize(x.astype(np.float64), *FORMATS.T, round_mode, "WRAP").astype(np.float32)


@pytest.mark.parametrize("round_mode", ROUND_MODES)
def test_values_in_range_and_values_that_wrap_are_those_of_the_definition(round_mode):
    k, i, f = FORMATS.T
    step = 2.0**-f
    within = np.linspace(-0.9, 0.9, 64)[:, None] * 2.0**i
    inside = np.where(k == 1, within, np.abs(within)).astype(np.float32)
    halves = ((np.arange(-9, 9) + 0.5)[:, None] * step).astype(np.float32)
    extremes = np.array([0.49999997, -0.49999997, 8388609, 16777215, 2.0**29 - 32, 3e38, -3e38])
    beyond = np.concatenate([inside, halves, np.tile(extremes.astype(np.float32)[:, None], len(FORMATS))])
    made = quantizer(round_mode)
    for x in (inside, beyond):
        np.testing.assert_array_equal(numpy_of(made.quantize(keras.ops.convert_to_tensor(x))), expected(x, round_mode))


def test_nan_and_infinite_values_become_nan_and_leave_the_others_alone():
    x = np.full((4, len(FORMATS)), 0.5, np.float32)
    x[:3] = np.array([np.nan, np.inf, -np.inf])[:, None]
    q = numpy_of(quantizer("RND").quantize(keras.ops.convert_to_tensor(x)))
    assert np.isnan(q[:3]).all()
    np.testing.assert_array_equal(q[3], expected(x[3:], "RND")[0])


def test_a_batch_without_samples_stays_empty():
    assert quantizer("RND").quantize(keras.ops.zeros((0, len(FORMATS)))).shape == (0, len(FORMATS))
