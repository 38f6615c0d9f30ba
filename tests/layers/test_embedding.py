"""QEmbedding: equal to Keras', cost, masks, exactness on integer inputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core import calibrate, ebops, freeze, load_model, verify
from hgq2_fixed_point import KBI, KIF, Identity
from hgq2_layers import QDense, QEmbedding


def rows(*shape, below=7):
    return np.random.default_rng(2).integers(0, below, size=shape).astype(np.int32)


def classifier(**arguments):
    """Integers in, numbers out."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), dtype="int32")
    x = QEmbedding(7, 3, embeddings_initializer="random_normal", **arguments)(inputs)
    model = keras.Model(inputs, QDense(2)(keras.layers.Flatten()(x)))
    calibrate(model, rows(200, 5))
    return model


def test_without_quantizers_it_is_keras_layer():
    layer, twin = QEmbedding(7, 3, embeddings_quantizer=Identity()), keras.layers.Embedding(7, 3)
    for each in (layer, twin):
        each.build((None, 5))
        each.embeddings.assign(np.arange(21).reshape(7, 3) / 3)
    x = rows(64, 5)
    assert np.array_equal(numpy_of(layer(x)), numpy_of(twin(x)))


@pytest.mark.parametrize(("granularity", "own"), [("tensor", 1), ("channel", 3), ("element", 3)])
def test_ebops(granularity, own):
    layer = QEmbedding(7, 3, embeddings_quantizer=KBI(granularity=granularity, overflow_mode="SAT_SYM"))
    layer.build((None, 5, 2))
    bits = np.array([[2.0, 5.0, 3.0]])[:, :own]
    layer.embeddings_quantizer.b.assign(bits)
    assert np.isclose(ebops(layer), 1e-4 * 5 * 2 * 7 * np.broadcast_to(bits, (1, 3)).sum(), rtol=1e-5)


def test_a_model_of_integers_is_exact_and_its_file_predicts_the_same_bits(tmp_path):
    model = classifier(embeddings_quantizer=KIF(f=4, overflow_mode="WRAP", granularity="channel"))
    x = rows(1000, 5)
    report = verify(model, x)
    assert report.mismatches == 0
    assert all(row.float32_enough for row in report.layers)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    assert np.array_equal(load_model(tmp_path / "frozen.keras").predict(x, verbose=0), frozen.predict(x, verbose=0))


def test_an_index_outside_takes_the_nearest_row():
    model = classifier()
    x = np.array([[-3, 0, 6, 7, 100]], dtype=np.int32)
    assert verify(model, x).ok
    got = numpy_of(model.layers[1](x))[0]
    assert np.array_equal(got[0], got[1])
    assert np.array_equal(got[2:], got[[2, 2, 2]])


def test_zeros_are_masked():
    x = np.array([[0, 3, 0]], np.int32)
    assert numpy_of(QEmbedding(7, 3, mask_zero=True).compute_mask(x)).tolist() == [[False, True, False]]
    assert QEmbedding(7, 3).compute_mask(x) is None


def test_training_moves_the_table_and_its_bits():
    model = classifier(ebops_beta=1e-3)
    layer = model.layers[1]
    before = numpy_of(layer.embeddings).copy(), numpy_of(layer.embeddings_quantizer.b).copy()
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(rows(64, 5), np.ones((64, 2)), epochs=2, verbose=0)
    assert not np.array_equal(numpy_of(layer.embeddings), before[0])
    assert not np.array_equal(numpy_of(layer.embeddings_quantizer.b), before[1])
