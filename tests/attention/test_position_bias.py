"""Position biases, by pair, distance and bucket, and bits per head; docs/numerics.md#8."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_attention import QLinformerAttention, QMultiHeadAttention
from hgq2_attention.position_bias import table_of
from hgq2_core import ConfigError, calibrate, ebops, verify
from hgq2_fixed_point import KBI, KIF

ROUGH = {"kind": "random_normal", "stddev": 1.0, "seed": 1}


def test_the_places_of_distances():
    shape, places = table_of("relative", "layer", (2, 3), 32, 128)
    assert shape == (4,)
    assert places.tolist() == [[1, 2, 3], [0, 1, 2]]
    assert table_of("full", "layer", (2, 3), 32, 128) == ((2, 3), None)


def test_the_buckets_are_those_of_t5():
    """Eight buckets up to a distance of 8: of each four, two for 0 and 1, and two for 2 to 3 and 4 on."""
    shape, places = table_of("bucketed", "layer", (1, 10), 8, 8)
    assert shape == (8,)
    assert places.tolist() == [[0, 5, 6, 6, 7, 7, 7, 7, 7, 7]]
    _, before = table_of("bucketed", "layer", (10, 1), 8, 8)
    assert before.ravel().tolist() == [0, 1, 2, 2, 3, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("form", ["full", "relative", "bucketed"])
def test_it_counts_its_bits_for_each_score_and_is_exact(form, tmp_path):
    arguments = {"position_bias": form, "position_bias_initializer": ROUGH, "position_buckets": 4, "max_distance": 3}
    inputs = keras.Input((3, 4))
    layer = QMultiHeadAttention(2, 2, **arguments, position_bias_quantizer=KBI(b=5, i=1), name="attention")
    model = keras.Model(inputs, layer(inputs, inputs))
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(100, 3, 4)).astype("float32")
    model.compile("sgd", "mse")
    before = np.asarray(keras.ops.convert_to_numpy(layer.position_table)).copy()
    model.fit(x, x, verbose=0)
    assert (keras.ops.convert_to_numpy(layer.position_table) != before).any()
    calibrate(model, x)
    assert verify(model, x).ok
    layer.position_bias_quantizer.b.assign(keras.ops.full(layer.position_bias_quantizer.b.shape, 5.0))
    with_bias = float(keras.ops.convert_to_numpy(layer.ebops()))
    layer.position_bias_quantizer.b.assign(keras.ops.zeros(layer.position_bias_quantizer.b.shape))
    assert with_bias - float(keras.ops.convert_to_numpy(layer.ebops())) == pytest.approx(2 * 3 * 3 * 5)
    calibrate(model, x)
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    assert (back.predict(x, verbose=0) == model.predict(x, verbose=0)).all()


def test_a_large_bias_decides_to_whom_a_query_attends():
    layer = QMultiHeadAttention(1, 2, position_bias="relative", position_bias_quantizer=KBI(b=8, i=6))
    x = np.random.default_rng(0).normal(size=(16, 3, 4)).astype("float32")
    inputs = keras.Input((3, 4))
    outputs, scores = layer(inputs, inputs, return_attention_scores=True)
    model = keras.Model(inputs, [outputs, scores])
    layer.position_table.assign([[0.0, 0.0, 60.0, 0.0, 0.0]])  # the query itself
    calibrate(model, x)
    found = model.predict(x, verbose=0)[1]
    assert np.allclose(found, np.eye(3), atol=0.05)


def test_bits_per_head_cost_by_head():
    heads = KIF(f=[[2], [6]], i=1, overflow_mode="SAT_SYM", granularity=[-2])
    rows = KIF(k=0, f=[[[3]], [[5]]], i=0, overflow_mode="SAT", granularity=[1])
    layer = QMultiHeadAttention(
        2, 3, query_quantizer=heads, key_quantizer=heads, value_quantizer=heads, attention_quantizer=rows,
        query_kernel_quantizer=KBI(b=[[[2], [5]]], granularity=[1]),
    )  # fmt: skip
    inputs = keras.Input((4, 6))
    model = keras.Model(inputs, layer(inputs, inputs))
    assert tuple(layer.query_quantizer.f.shape) == (1, 1, 2, 1)
    assert tuple(layer.query_kernel_quantizer.b.shape) == (1, 2, 1)
    # Each of 4 x 4 scores of a head is 3 products; so is each of its weighted sums.
    wanted = 4 * 4 * 3 * (3 * 3 + 7 * 7) + 4 * 4 * 3 * (3 * 3 + 7 * 5)
    assert float(keras.ops.convert_to_numpy(layer.ebops())) == wanted
    assert ebops(model) > wanted
    x = np.random.default_rng(0).normal(size=(64, 4, 6)).astype("float32")
    calibrate(model, x)
    assert verify(model, x).ok


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: QMultiHeadAttention(1, 2, position_bias_quantizer="kbi"),
            "position_bias_quantizer is for a position_bi",
        ),
        (lambda: QLinformerAttention(1, 2, 2, position_bias="relative"), "have no distance from a query"),
    ],
    ids=["quantizer alone", "linformer"],
)
def test_what_does_not_go_together_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_shapes_without_a_distance_are_refused():
    layer = QMultiHeadAttention(1, 2, position_bias="relative", attention_axes=(1, 2))
    with pytest.raises(ConfigError, match=r"distances are along one attention axis\. .*Allowed: 'full'"):
        layer.build((None, 2, 2, 3), (None, 2, 2, 3))
    with pytest.raises(ConfigError, match="position_buckets is an even number from 4 on"):
        QMultiHeadAttention(1, 2, position_bias="bucketed", position_buckets=3).build((None, 2, 3), (None, 2, 3))
