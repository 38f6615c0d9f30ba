"""Integers against Keras with ==: what passes, what is caught and named, what is refused; docs/numerics.md#8, #9.20."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from hgq2_core import DataError, ExactnessError, HGQ2Error, calibrate, freeze, verify
from hgq2_core.model.verification import required_bits
from hgq2_fixed_point import KBI, KIF
from hgq2_fixed_point.modes import ROUND_MODES
from hgq2_layers import QDense

COMBINATIONS = [
    (kind, overflow_mode, round_mode)
    for kind in (KBI, KIF)
    for overflow_mode in ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO", "WRAP_SM")
    for round_mode in (ROUND_MODES if overflow_mode != "WRAP_SM" else ("RND", "RND_CONV"))
]


def spread(layer, seed):
    """Uneven bits, so that elements are pruned, clipped and wrapped."""
    rng = np.random.default_rng(seed)
    for quantizer in layer.quantizers:
        for variable in quantizer.trainable_variables:
            low, high = {"b": (0, 8), "i": (-2, 3), "f": (-1, 6)}[variable.name]
            variable.assign(rng.integers(low, high, size=tuple(variable.shape)))
    layer.kernel.assign(rng.normal(size=layer.kernel.shape))


@pytest.mark.parametrize(("kind", "overflow_mode", "round_mode"), COMBINATIONS)
def test_keras_computes_the_integers(samples, kind, overflow_mode, round_mode):
    config = kind(overflow_mode=overflow_mode, round_mode=round_mode)
    slots = ("input_quantizer", "kernel_quantizer", "bias_quantizer", "output_quantizer")
    arguments = dict.fromkeys(slots, config)
    model = keras.Sequential(
        [keras.Input((4,)), QDense(6, "relu", name="a", **arguments), QDense(3, name="b", **arguments)]
    )
    for seed, layer in enumerate(model.layers):
        spread(layer, seed)
        layer.bias.assign(np.random.default_rng(9).normal(size=layer.bias.shape))
    calibrate(model, samples())
    x = np.concatenate([samples(500), samples(300, scale=1e3), samples(200, scale=1e7), samples(24, scale=1e-6)])
    report = verify(model, x, batch_size=512)
    assert (report.ok, report.mismatches, report.samples) == (True, 0, 1024)
    assert (report.end_to_end, report.predict, report.first_faulty) == (0, 0, None)
    assert [(row.name, row.mismatches, row.values) for row in report.layers] == [("a", 0, 6 * 1024), ("b", 0, 3 * 1024)]
    assert len(np.unique(keras.ops.convert_to_numpy(model(x)))) > 1


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
def test_every_granularity(samples, granularity):
    config = {"granularity": granularity}
    model = keras.Sequential(
        [
            keras.Input((3, 4)),
            QDense(
                5, "relu", input_quantizer=KIF(**config), kernel_quantizer=KBI(**config), bias_quantizer=KBI(**config)
            ),
            QDense(2, output_quantizer=KBI(overflow_mode="WRAP", b=5, **config)),
        ]
    )
    calibrate(model, samples(256, 3, 4))
    assert verify(model, samples(1000, 3, 4, scale=30)).ok


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_batches_decide_nothing(chain, samples, batch_size):
    model = chain()
    calibrate(model, samples())
    report = verify(model, samples(64), batch_size=batch_size)
    assert report == verify(model, samples(64))
    assert report.samples == 64


def test_nested_models_are_opened(nested, samples):
    model = nested()
    calibrate(model, samples(256, 4, 1))
    report = verify(model, samples(1000, 4, 1, scale=50))
    assert report.ok
    assert [row.name for row in report.layers] == [
        "flat", "first", "middle/chain/hidden", "middle/chain/logits", "middle/positive", "drop", "last",
    ]  # fmt: skip


def test_frozen_and_loaded_models_verify(chain, samples, tmp_path):
    model = chain()
    calibrate(model, samples())
    freeze(model).save(tmp_path / "frozen.keras")
    report = verify(keras.saving.load_model(tmp_path / "frozen.keras"), samples(1000, scale=50))
    assert report == verify(model, samples(1000, scale=50))
    assert report.ok


def test_inputs_as_list_and_mapping(samples):
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], [QDense(2, name="left")(a), QDense(3, name="right")(b)])
    x, y = samples(100), samples(100, scale=40, seed=2)
    calibrate(model, [x, y])
    report = verify(model, [x, y])
    assert report.ok
    assert sorted((row.name, row.values) for row in report.layers) == [("left", 200), ("right", 300)]
    assert verify(model, {"b": y, "a": x}) == report


def test_a_layer_applied_twice_is_compared_twice(samples):
    shared = QDense(4, name="shared")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, shared(shared(inputs)))
    calibrate(model, samples())
    report = verify(model, samples(100, scale=50))
    assert report.ok
    assert [(row.name, row.values) for row in report.layers] == [("shared", 800)]


def test_the_model_is_not_changed(chain, samples):
    model = chain()
    calibrate(model, samples())
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in model.variables]
    verify(model, samples(scale=100))
    after = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


# Faults.


class WrongExact(QDense):
    """Says one step too much."""

    def exact(self, arrays, *inputs):
        return arrays.add(super().exact(arrays, *inputs), arrays.constant(2.0**-12))


class WrongCall(QDense):
    """Computes one step too much where the output is above 1."""

    def call(self, inputs, training=None):
        outputs = super().call(inputs, training)
        return outputs + 2.0**-12 * keras.ops.cast(outputs > 1, "float32")


@pytest.mark.parametrize("faulty", [WrongExact, WrongCall])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_faulty_layer_is_named(samples, faulty, place):
    keras.utils.set_random_seed(1)
    classes = [QDense, QDense, QDense]
    classes[place] = faulty
    model = keras.Sequential([keras.Input((4,)), *[cls(4, name=f"l{n}") for n, cls in enumerate(classes)]])
    calibrate(model, samples())
    report = verify(model, samples(100))
    assert not report.ok
    assert report.first_faulty == f"l{place}"
    assert [row.mismatches > 0 for row in report.layers] == [n == place for n in range(3)]
    assert report.mismatches > 0
    text = str(report)
    assert text.startswith(f"arithmetic differs: {report.mismatches} mismatches in 100 samples")
    assert f"l{place}: {report.layers[place].mismatches} of 400 values differ" in text


def test_mismatches_are_counted_by_value_and_by_sample():
    model = keras.Sequential(
        [
            keras.Input((2,)),
            WrongCall(2, name="wrong", kernel_initializer="identity", input_quantizer=KIF(overflow_mode="SAT")),
        ]
    )
    x = np.array([[0.5, 0.5], [2.0, 0.5], [2.0, 3.0], [1.0, -3.0]], dtype=np.float32)
    report = verify(model, x)
    assert [(row.name, row.mismatches, row.values) for row in report.layers] == [("wrong", 3, 8)]
    assert (report.mismatches, report.end_to_end, report.predict) == (2, 2, 2)
    assert report.to_dict()["first_faulty"] == "wrong"
    json.dumps(report.to_dict())


def test_a_fault_in_predict_alone_is_caught(chain, samples, monkeypatch):
    model = chain()
    calibrate(model, samples())
    predict = keras.Model.predict

    def wrong(self, x, **options):
        outputs = predict(self, x, **options)
        outputs[2, 1] += 2.0**-12
        return outputs

    monkeypatch.setattr(keras.Model, "predict", wrong)
    report = verify(model, samples(10))
    assert (report.ok, report.mismatches, report.predict, report.end_to_end) == (False, 1, 1, 0)
    assert report.first_faulty is None
    assert "predict: 1" in str(report)


# Precision.


def by_hand(kernel, bias=None, input_quantizer=None):
    layer = QDense(
        1,
        name="sum",
        use_bias=bias is not None,
        input_quantizer=input_quantizer or KIF(k=1, i=0, f=2, overflow_mode="SAT_SYM"),
        kernel_quantizer=KBI(b=16, i=4, overflow_mode="SAT"),
        bias_quantizer=KBI(b=16, i=4, overflow_mode="SAT"),
    )
    model = keras.Sequential([keras.Input((len(kernel),)), layer])
    layer.kernel.assign(np.reshape(kernel, (-1, 1)))
    if bias is not None:
        layer.bias.assign([bias])
    return model


@pytest.mark.parametrize(
    ("kernel", "bias", "quantizer", "bits"),
    [
        # |x| <= 3 steps of 2^-2; kernel in steps of 2^-2: 3 · (2 + 3 + 1 + 4) = 30 steps of 2^-4.
        ([0.5, 0.75, -0.25, 1.0], None, {"overflow_mode": "SAT_SYM"}, 5),
        # |x| <= 4 steps: 40.
        ([0.5, 0.75, -0.25, 1.0], None, {"overflow_mode": "SAT"}, 6),
        # 0 <= x <= 3 steps.
        ([0.5, 0.75, -0.25, 1.0], None, {"overflow_mode": "SAT", "k": 0}, 5),
        # Trailing zeros of constants do not count: in steps of 2^-1 and 2^-2, 3 · (1 + 2) = 9 steps of 2^-3.
        ([0.5, 1.0], None, {"overflow_mode": "SAT_SYM"}, 4),
        # The bias has a finer step: 30 · 4 + 33 = 153 steps of 2^-6.
        ([0.5, 0.75, -0.25, 1.0], 33 / 64, {"overflow_mode": "SAT_SYM"}, 8),
        # A coarse bias: 30 + 16 = 46 steps of 2^-4.
        ([0.5, 0.75, -0.25, 1.0], 1.0, {"overflow_mode": "SAT_SYM"}, 6),
        ([1.0], None, {"overflow_mode": "SAT_SYM", "i": 3, "f": 5}, 8),
    ],
)
def test_required_bits_by_hand(kernel, bias, quantizer, bits):
    config = KIF(**{"k": 1, "i": 0, "f": 2, **quantizer})
    model = freeze(by_hand(kernel, bias, config))
    assert required_bits(model) == {"sum": bits}


def test_too_narrow_a_float_is_reported_and_fails_only_where_outputs_differ():
    """docs/numerics.md#9.20: it went unnoticed."""
    wide = KIF(k=1, i=2, f=20, overflow_mode="SAT")
    model = by_hand([1.0, 2.0**-10], input_quantizer=wide)
    harmless = np.array([[1.0, 0.0], [0.5, 0.5], [-2.0, 1.0]], dtype=np.float32)
    report = verify(model, harmless)
    assert report.ok
    (row,) = report.layers
    # Up to 2^22 steps of 2^-20, in steps of 2^-30, and 2^22 more.
    assert (row.required_bits, row.float32_enough) == (33, False)
    assert "sum: its sums may need 33 bits, float32 has 24" in str(report)
    harmful = np.concatenate([harmless, [[1.0, 2.0**-20]]]).astype(np.float32)  # 1 + 2^-30 is no float32
    report = verify(model, harmful)
    assert (report.ok, report.mismatches, report.first_faulty) == (False, 1, "sum")
    assert report.layers[0].mismatches == 1


def test_enough_precision_is_reported(chain, samples):
    model = chain()
    calibrate(model, samples())
    report = verify(model, samples())
    assert all(row.float32_enough for row in report.layers)
    assert "float32 has" not in str(report)
    assert str(report) == "arithmetic verified: 0 mismatches in 256 samples (integers == Keras)"


# Refusals.


def test_a_plain_dense_is_refused_by_name(samples):
    model = keras.Sequential([keras.Input((4,)), QDense(4), keras.layers.Dense(2, name="plain"), QDense(2)])
    calibrate(model, samples())
    with pytest.raises(ExactnessError, match=r"plain: keras\.Dense has no exact arithmetic"):
        verify(model, samples())


def test_the_place_in_nested_models_is_named(samples):
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="plain")], name="inner")
    model = keras.Sequential([keras.Input((4,)), inner, QDense(2)])
    calibrate(model, samples())
    with pytest.raises(ExactnessError, match=r"inner/plain: keras\.Dense"):
        verify(model, samples())


def test_layers_of_several_inputs_without_adapter_are_refused(samples):
    inputs = keras.Input((4,))
    steps = [keras.layers.Reshape((2, 2))(QDense(4, name=name)(inputs)) for name in ("left", "right")]
    model = keras.Model(inputs, keras.layers.Attention(name="attention")(steps))
    calibrate(model, samples())
    with pytest.raises(ExactnessError, match=r"attention: keras\.Attention has no exact arithmetic"):
        verify(model, samples())


def test_operations_without_exact_arithmetic_are_refused(samples):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.ops.exp(QDense(2)(inputs)))
    calibrate(model, samples())
    with pytest.raises(ExactnessError, match="no exact arithmetic"):
        verify(model, samples())


def test_subclassed_models_are_refused(samples):
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = QDense(2)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(samples())
    calibrate(model, samples())
    with pytest.raises(ExactnessError, match="own"):
        verify(model, samples())


@pytest.mark.parametrize("x", [np.zeros((0, 4), np.float32), [np.zeros((3, 4)), np.zeros((2, 4))]])
def test_samples_are_needed(chain, samples, x):
    model = chain()
    calibrate(model, samples())
    with pytest.raises(DataError, match="number of samples"):
        verify(model, x)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(chain, samples, value):
    model = chain()
    calibrate(model, samples())
    x = samples()
    x[3, 1] = value
    with pytest.raises(HGQ2Error, match=r"(?i)nan|inf|finite"):
        verify(model, x)
