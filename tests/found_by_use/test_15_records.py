"""A calibration holds for each quantizer it reached, in whatever model it stands, until a layer in front changes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import CalibrationError, calibrate, freeze, verify
from hgq2_core.model.calibration import RECORD_WORDS, digest, observed, require_calibrated, uncalibrated
from hgq2_fixed_point import KIF
from hgq2_layers import QAdd, QDense

X = np.random.default_rng(1).normal(size=(64, 6)).astype(np.float32)
Z = np.random.default_rng(2).normal(size=(64, 3)).astype(np.float32)


def dense(units, name):
    return QDense(units, name=name, input_quantizer=KIF(overflow_mode="WRAP", granularity="tensor"))


def stale(model):
    return sorted(str(quantizer.slot) for quantizer in uncalibrated(model).stale)


def change(model, *path):
    """Change a bias of the layer at a path."""
    for name in path:
        model = model.get_layer(name)
    model.bias.assign(keras.ops.convert_to_numpy(model.bias) + 1)


def nested(decoder=None):
    """An autoencoder of two models; one of its blocks is a model in the decoder."""
    encoder = keras.Sequential([keras.Input((6,)), dense(5, "e1"), dense(3, "e2")], name="encoder")
    block = keras.Sequential([keras.Input((4,)), dense(4, "b1"), dense(4, "b2")], name="block")
    decoder = keras.Sequential([keras.Input((3,)), dense(4, "d1"), block, dense(6, "d2")], name="decoder")
    inputs = keras.Input((6,))
    return keras.Model(inputs, decoder(encoder(inputs)), name="autoencoder")


@pytest.fixture
def autoencoder():
    model = nested()
    calibrate(model, X)
    return model


def test_every_part_of_a_calibrated_model_is_calibrated(autoencoder):
    decoder = autoencoder.get_layer("decoder")
    for model in (autoencoder, autoencoder.get_layer("encoder"), decoder, decoder.get_layer("block")):
        require_calibrated(model, "test")
    assert verify(autoencoder.get_layer("encoder"), X).ok
    assert verify(freeze(autoencoder.get_layer("encoder")), X).ok
    assert verify(freeze(autoencoder).get_layer("encoder"), X).ok


def test_a_decoder_does_not_make_its_encoder_stale(autoencoder):
    change(autoencoder, "decoder", "d2")
    assert stale(autoencoder) == ["d2.input"]
    assert stale(autoencoder.get_layer("decoder")) == ["d2.input"]
    assert stale(autoencoder.get_layer("encoder")) == stale(autoencoder.get_layer("decoder").get_layer("block")) == []
    assert verify(autoencoder.get_layer("encoder"), X).ok


def test_a_layer_in_front_does(autoencoder):
    change(autoencoder, "encoder", "e2")
    assert stale(autoencoder) == ["b1.input", "b2.input", "d1.input", "d2.input", "e2.input"]
    assert stale(autoencoder.get_layer("encoder")) == ["e2.input"]
    with pytest.raises(CalibrationError) as error:
        verify(autoencoder.get_layer("encoder"), X)
    assert str(error.value) == (
        "verify: stale calibration, variables of these layers or of layers before them have changed since: e2.input. "
        "Run hgq2_core.calibrate(model, data) on training data first."
    )


def test_a_layer_between_does(autoencoder):
    change(autoencoder, "decoder", "block", "b1")
    decoder = autoencoder.get_layer("decoder")
    assert stale(autoencoder) == stale(decoder) == ["b1.input", "b2.input", "d2.input"]
    assert stale(decoder.get_layer("block")) == ["b1.input", "b2.input"]


def test_a_part_of_the_same_graph():
    inputs = keras.Input((6,))
    code = dense(3, "code")(keras.layers.Dense(4, name="plain")(inputs))
    model = keras.Model(inputs, dense(6, "restored")(code))
    encoder = keras.Model(inputs, code)
    calibrate(model, X)
    change(model, "restored")
    assert (stale(model), stale(encoder)) == (["restored.input"], [])
    assert verify_fails_for_plain(encoder)
    change(model, "plain")
    assert stale(encoder) == ["code.input"]


def verify_fails_for_plain(model):
    """`keras.Dense` has no exact arithmetic: it gets as far as that."""
    with pytest.raises(TypeError, match=r"plain: keras\.Dense has no exact arithmetic"):
        verify(model, X)
    return True


def test_branches_do_not_depend_on_each_other():
    inputs = keras.Input((6,))
    left, right = dense(3, "left")(inputs), dense(3, "right")(inputs)
    model = keras.Model(inputs, dense(2, "after")(QAdd(name="sum", input_quantizer=KIF())([left, right])))
    calibrate(model, X)
    change(model, "left")
    found = stale(model)
    assert "left.input" in found and "after.input" in found and "right.input" not in found


def test_a_layer_that_is_applied_twice_depends_on_both():
    inputs = keras.Input((6,))
    shared = dense(6, "shared")
    model = keras.Model(inputs, dense(2, "last")(shared(dense(6, "middle")(shared(inputs)))))
    calibrate(model, X)
    change(model, "middle")
    assert stale(model) == ["last.input", "middle.input", "shared.input"]


def test_a_model_that_is_applied_twice():
    encoder = keras.Sequential([keras.Input((6,)), dense(4, "e1"), dense(3, "e2")], name="encoder")
    a, b = keras.Input((6,)), keras.Input((6,))
    model = keras.Model([a, b], dense(1, "head")(keras.layers.Concatenate()([encoder(a), encoder(b)])))
    calibrate(model, [X, X[::-1].copy()])
    change(model, "head")
    assert (stale(model), stale(encoder)) == (["head.input"], [])
    assert verify(encoder, X).ok


class Subclassed(keras.Model):
    """A model without a graph, made of two that have one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder = keras.Sequential([keras.Input((6,)), dense(3, "e1")], name="encoder")
        self.decoder = keras.Sequential([keras.Input((3,)), dense(6, "d1")], name="decoder")

    def call(self, x):
        return self.decoder(self.encoder(x))


def test_subclassed_models_depend_on_all_of_their_variables():
    model = Subclassed()
    model.build((None, 6))
    calibrate(model, X)
    assert verify(model.encoder, X).ok
    assert verify(model.decoder, Z).samples == 64
    model.decoder.layers[0].bias.assign(np.ones(6))
    assert stale(model) == ["d1.input", "e1.input"]
    assert (stale(model.encoder), stale(model.decoder)) == ([], ["d1.input"])


def test_a_subclassed_model_in_a_graph():
    inner = Subclassed(name="inner")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, dense(2, "last")(inner(dense(6, "first")(inputs))))
    calibrate(model, X)
    inner.decoder.layers[0].bias.assign(np.ones(6))
    assert stale(model) == ["d1.input", "e1.input", "last.input"]
    assert stale(inner.encoder) == []


def test_saved_and_loaded(autoencoder, tmp_path):
    autoencoder.save(tmp_path / "m.keras")
    autoencoder.get_layer("encoder").save(tmp_path / "e.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert verify(again, X).ok
    assert verify(again.get_layer("encoder"), X).ok
    assert verify(keras.saving.load_model(tmp_path / "e.keras"), X).ok
    change(again, "decoder", "d1")
    assert stale(again.get_layer("encoder")) == []
    assert stale(again) == ["b1.input", "b2.input", "d1.input", "d2.input"]
    freeze(autoencoder).save(tmp_path / "f.keras")
    assert verify(keras.saving.load_model(tmp_path / "f.keras").get_layer("encoder"), X).ok


def test_a_record_of_before_counts_while_its_digest_matches(autoencoder):
    """It holds one digest of the whole model."""
    record = np.array([64, 0, *digest(autoencoder)], np.int32)
    assert len(record) == RECORD_WORDS
    for quantizer in observed(autoencoder):
        quantizer.record.assign(record)
    assert verify(autoencoder, X).ok
    assert len(stale(autoencoder.get_layer("encoder"))) == 2
    change(autoencoder, "decoder", "d2")
    assert len(stale(autoencoder)) == 6


def test_parts_calibrated_apart_keep_their_own_records(autoencoder):
    calibrate(autoencoder.get_layer("encoder"), X[:10], margin=2)
    frozen = freeze(autoencoder.get_layer("encoder"))
    assert [keras.ops.convert_to_numpy(each.record)[:2].tolist() for each in observed(frozen)] == [[10, 2], [10, 2]]
    assert stale(autoencoder) == ["b1.input", "b2.input", "d1.input", "d2.input"]
