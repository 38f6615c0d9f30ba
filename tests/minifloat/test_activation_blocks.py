"""Blocks of activations that share a power of two, as OCP MX has them; docs/numerics.md#10."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, ExactnessError, calibrate, ebops, verify
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense, QQuantize
from hgq2_minifloat import Float4E2M1FN, Minifloat, MXInt

GRID = KIF(i=3, f=4, overflow_mode="SAT_SYM", granularity="tensor")
X = (np.random.default_rng(0).normal(size=(200, 3, 6)) * 2.0 ** np.arange(-4, 2)).astype("float32")
LAST = {"axis": -1, "size": 4}


def model_of(config, **arguments):
    model = keras.Sequential(
        [keras.Input((3, 6)), QQuantize(GRID), QDense(2, input_quantizer=config, name="dense", **arguments)]
    )
    calibrate(model, X)
    return model


def test_the_elements_of_a_block_share_the_exponent_of_the_largest():
    quantize = QQuantize(MXInt(b=4, block=LAST))
    model = keras.Sequential([keras.Input((6,)), QQuantize(KIF(i=4, f=4, overflow_mode="SAT")), quantize])
    x = np.array([[5.0, 1.0, -0.5, 3.0, 0.25, -0.1875]], "float32")
    # Steps of a quarter of the largest's power of two: of 4 and of 1/4; half steps go to the even one.
    assert model.predict(x, verbose=0).tolist() == [[5.0, 1.0, 0.0, 3.0, 0.25, -0.1875]]


@pytest.mark.parametrize(
    "config",
    [
        MXInt(b=4, block=LAST),
        MXInt(b=[3, 4, 5], b_bounds=(2, 6), granularity={"axis": -1, "block": 2}, block=LAST),
        Float4E2M1FN(block=LAST),
        Minifloat(m=2, e=2, trainable=["m"], granularity="tensor", block={"axis": 1, "size": 2}),
    ],
    ids=["integers", "widths", "floats", "other axis"],
)
def test_it_is_exact_trains_and_is_saved(config, tmp_path):
    model = model_of(config)
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((200, 3, 2)), verbose=0)
    calibrate(model, X)
    report = verify(model, X)
    assert report.ok, report
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    assert (back.predict(X, verbose=0) == model.predict(X, verbose=0)).all()


def test_choosing_scales_costs_comparisons_and_selections():
    """Three rows of six elements, of 3 bits each: blocks of four and of two; the grid has 7 exponents."""
    model = model_of(MXInt(b=4, block=LAST), kernel_quantizer=KBI(b=2), use_bias=False)
    products = 3 * 6 * 2 * (3 * 2)
    assert ebops(model) == pytest.approx(products + 3 * (6 - 2) * 3 + 3 * 6 * 3 * math.log2(7), rel=1e-6)
    layer = model.get_layer("dense")
    layer.ebops_beta.assign(1.0)
    model(X)
    assert float(keras.ops.convert_to_numpy(layer.losses[0])) == pytest.approx(ebops(model), rel=1e-3)


def test_values_from_no_grid_are_refused_with_the_remedy():
    model = keras.Sequential([keras.Input((6,)), QDense(2, input_quantizer=MXInt(block=LAST))])
    with pytest.raises(ExactnessError, match=r"blocks choose among at most 64 scales.*such as quantize \(QQuantize\)"):
        verify(model, X[:, 0])


def test_where_blocks_of_activations_may_not_be():
    with pytest.raises(ConfigError, match=r"along an axis besides the batch.*Received: block\.axis=0"):
        model_of(MXInt(block={}))
    with pytest.raises(ConfigError, match=r"dense\.output: blocks of activations are for the inputs of a layer"):
        model_of(GRID, output_quantizer=MXInt(block=LAST))
