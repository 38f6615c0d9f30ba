"""Time-multiplexing: the cost of the positions that hardware computes at once; docs/numerics.md#7."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, ebops
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import (
    QBatchNormDense,
    QConv1D,
    QConv1DLUT,
    QDense,
    QDenseBatchNorm,
    QDenseLUT,
    QEinsumDense,
    QEinsumDenseBatchNorm,
    QEinsumDenseLUT,
    QMaxPooling1D,
)

pytestmark = pytest.mark.once

X = KIF(i=1, f=3, overflow_mode="SAT_SYM", granularity="tensor")
K = KBI(b=3, overflow_mode="SAT_SYM", granularity="tensor")
B = KBI(b=5, overflow_mode="SAT_SYM", granularity="tensor")
SLOTS = {"input_quantizer": X, "kernel_quantizer": K, "bias_quantizer": B}
TABLES = {"input_quantizer": X, "table_quantizer": K}
TABLE = (4 / 5) * 3 / 2 + 3
"""What one table of 4 bits of input and 3 of output costs."""

EXAMPLES = [
    # positions, what one costs
    (QDense, {"units": 2, **SLOTS}, (6, 3), 6, 3 * 2 * 4 * 3 + 2 * 5),
    (QDense, {"units": 2, **SLOTS}, (2, 3, 3), 6, 3 * 2 * 4 * 3 + 2 * 5),
    (QDense, {"units": 2, **SLOTS}, (3,), 1, 3 * 2 * 4 * 3 + 2 * 5),
    (QDenseBatchNorm, {"units": 2, **SLOTS}, (6, 3), 6, 3 * 2 * 4 * 3 + 2 * 5),
    (QBatchNormDense, {"units": 2, **SLOTS}, (6, 3), 6, 3 * 2 * 4 * 3 + 2 * 5),
    (
        QEinsumDense,
        {"equation": "abc,cd->adb", "output_shape": (2, None), "bias_axes": "d", **SLOTS},
        (6, 3),
        6,
        3 * 2 * 4 * 3 + 2 * 5,
    ),
    # A kernel of its own for each b: c alone is a position.
    (QEinsumDense, {"equation": "abcd,bde->abce", "output_shape": (2, 4, 5), **SLOTS}, (2, 4, 3), 4, 2 * 3 * 5 * 12),
    (QEinsumDense, {"equation": "...c,cd->...d", "output_shape": 2, **SLOTS}, (2, 3, 3), 6, 3 * 2 * 4 * 3),
    (
        QEinsumDenseBatchNorm,
        {"equation": "abc,cd->abd", "output_shape": (None, 2), "bias_axes": "d", **SLOTS},
        (6, 3),
        6,
        3 * 2 * 4 * 3 + 2 * 5,
    ),
    (QDenseLUT, {"units": 2, **TABLES}, (6, 3), 6, 3 * 2 * TABLE),
    (QConv1DLUT, {"filters": 2, "kernel_size": 2, **TABLES}, (4, 1), 3, 2 * 2 * TABLE),
    (QEinsumDenseLUT, {"equation": "abc,cd->adb", "output_shape": (2, None), **TABLES}, (6, 3), 6, 3 * 2 * TABLE),
    (QConv1D, {"filters": 2, "kernel_size": 2, **SLOTS}, (4, 1), 3, 2 * 2 * 4 * 3 + 2 * 5),
    (QMaxPooling1D, {"pool_size": 2, "input_quantizer": X}, (6, 3), 3, 2 * 3 * 4),
]


def built(cls, arguments, shape):
    layer = cls(name="seen", **arguments)
    layer.build((None, *shape))
    return layer


@pytest.mark.parametrize(("cls", "arguments", "shape", "positions", "each"), EXAMPLES)
def test_the_cost_is_that_of_the_positions_computed_at_once(cls, arguments, shape, positions, each):
    layer = built(cls, arguments, shape)
    assert layer.positions() == positions
    assert np.isclose(ebops(layer), positions * each, rtol=1e-6)
    for parallel in {1, positions}:
        part = built(cls, {**arguments, "parallelization_factor": parallel}, shape)
        assert np.isclose(ebops(part), parallel * each, rtol=1e-6)
    part = built(cls, {**arguments, "parallelization_factor": 1, "ebops_factor": 0.25}, shape)
    assert np.isclose(ebops(part), each / 4, rtol=1e-6)


@pytest.mark.parametrize(("cls", "arguments", "shape", "positions", "each"), EXAMPLES)
def test_more_positions_than_there_are_are_refused(cls, arguments, shape, positions, each):
    with pytest.raises(ConfigError) as error:
        built(cls, {**arguments, "parallelization_factor": positions + 1}, shape)
    assert str(error.value) == (
        "seen: parallelization_factor is at most the number of output positions. "
        f"Received: parallelization_factor={positions + 1}. Allowed: 1 to {positions}."
    )


def test_a_dense_layer_on_a_sequence_counts_one_position():
    """It counted all 100, and nothing could say otherwise."""
    whole = built(QDense, {"units": 16, "use_bias": False, **SLOTS}, (100, 8))
    part = built(QDense, {"units": 16, "use_bias": False, "parallelization_factor": 1, **SLOTS}, (100, 8))
    assert (ebops(whole), ebops(part)) == (100 * 8 * 16 * 12, 8 * 16 * 12)


def test_a_factor_of_nothing_is_refused():
    with pytest.raises(ConfigError) as error:
        QDense(2, ebops_factor=0, name="seen")
    assert str(error.value) == "QDense 'seen': ebops_factor: must be greater than 0. Received: 0 (int)."


def test_a_saved_model_counts_the_same(tmp_path):
    model = keras.Sequential(
        [keras.Input((6, 3)), QDense(2, parallelization_factor=2, ebops_factor=3.0, **SLOTS)], name="saved"
    )
    model.save(tmp_path / "model.keras")
    assert ebops(keras.saving.load_model(tmp_path / "model.keras")) == ebops(model) == 2 * 3 * 82
