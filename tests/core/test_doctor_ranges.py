"""What `doctor` finds of values: out of range, not finite, bits at their bounds, sums too wide for float32."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from doctors import ONE, found, identity, slots

from hgq2_core import Quantizer, calibrate, doctor, freeze
from hgq2_core.quantizers.config import Slot
from hgq2_fixed_point import KBI, KIF
from hgq2_fixed_point.quantizers import KIFQuantizer
from hgq2_layers import QDense

# Ranges.


def test_values_that_wrap(samples):
    model = identity(input_quantizer=KIF(**ONE, overflow_mode="WRAP", trainable=False))
    calibrate(model, np.array([[-4, 3.25]], np.float32))
    x = np.array([[-4.5, 3.375], [-4.625, 3.5], [1.0, 6.0], [0.0, 3.0]], np.float32)
    report = doctor(model, x)
    # Half steps go up: -4.5 is -4 and stays, 3.5 is 4 and leaves.
    assert found(report, "overflows", "too_narrow", "saturates") == [
        ("overflows", "same.input", "3 of 8 values are out of range; the worst, 6, becomes -2 (range -4 to 3)")
    ]
    (finding,) = [each for each in report.findings if each.check.name == "overflows"]
    assert finding.numbers == {"count": 3, "of": 8, "worst": 6, "becomes": -2, "low": -4, "high": 3}
    assert (finding.severity, report.ok) == ("warning", True)
    assert slots(report)["same", "input"].outside == 3 / 8
    assert found(doctor(model, x[[0, 3]]), "overflows") == []


@pytest.mark.parametrize(
    ("overflow_mode", "count", "check", "becomes"),
    [
        ("SAT", 1, "saturates", 3),
        ("SAT", 50, "saturates", 3),
        ("SAT", 51, "too_narrow", 3),
        ("SAT_SYM", 1, "saturates", 3),
        ("SAT_ZERO", 1, "overflows", 0),
    ],
)
def test_values_that_saturate(overflow_mode, count, check, becomes):
    model = identity(input_quantizer=KIF(**ONE, overflow_mode=overflow_mode))
    x = np.tile(np.float32([[-3.0, 2.0]]), (100, 1))
    x[:5, 0] = -2.0  # the share is of all 200 values
    every = ("overflows", "too_narrow", "saturates")
    assert found(doctor(model, x), *every) == []
    x[:count, 1] = 7.5
    low = -3 if overflow_mode == "SAT_SYM" else -4
    assert found(doctor(model, x), *every) == [
        (
            check,
            "same.input",
            f"{count} of 200 values are out of range; the worst, 7.5, becomes {becomes} (range {low} to 3)",
        )
    ]


def test_outputs_and_weights_out_of_range():
    model = identity(
        input_quantizer=KIF(i=6, f=6, overflow_mode="SAT"),
        kernel_quantizer=KBI(b=4, i=1, overflow_mode="SAT"),
        output_quantizer=KIF(k=0, i=1, f=0, granularity="tensor", overflow_mode="SAT"),
    )
    model.layers[0].kernel.assign([[4.0, 0.0], [0.0, -1.0]])
    report = doctor(model, np.array([[1, 0], [2, 0]], np.float32))
    every = ("overflows", "too_narrow", "saturates")
    # The kernel ends at 1.875, its steps are 1/8; the outputs hold 0 and 1.
    assert sorted(found(report, *every)) == [
        (
            "saturates",
            "same.kernel",
            "1 of 4 values are out of range; the worst, 4, becomes 1.875 (range -2 to 1.875)",
        ),
        ("too_narrow", "same.output", "2 of 4 values are out of range; the worst, 3.75, becomes 1 (range 0 to 1)"),
    ]
    calibrate(model, np.ones((1, 2), np.float32))
    assert slots(doctor(freeze(model), np.ones((2, 2), np.float32)))["same", "kernel"].outside is None


def test_pruned_elements_do_not_overflow():
    model = identity(input_quantizer=KIF(k=1, i=0, f=-1, overflow_mode="SAT"))
    report = doctor(model, np.array([[5, 6], [7, 8]], np.float32))
    assert found(report, "overflows", "too_narrow", "saturates") == []
    assert slots(report)["same", "input"].outside == 0


def test_a_quantizer_that_knows_no_range(monkeypatch):
    monkeypatch.setattr(KIFQuantizer, "check_range", Quantizer.check_range)
    report = doctor(identity(input_quantizer=KIF(**ONE, overflow_mode="SAT")), np.full((3, 2), 99, np.float32))
    assert found(report, "overflows", "too_narrow", "saturates") == []
    assert slots(report)["same", "input"].outside is None


def test_a_quantizer_in_the_graph_itself():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, KIF(**ONE, overflow_mode="SAT").build(Slot("activation", "alone"))(inputs))
    report = doctor(model, np.array([[1, 2], [9, 2]], np.float32))
    assert found(report, "saturates") == [
        ("saturates", "alone", "1 of 4 values are out of range; the worst, 9, becomes 3 (range -4 to 3)")
    ]


# Numbers that are none.


def test_inputs_that_are_no_numbers(calibrated, samples):
    x = samples()
    x[3, 1], x[5] = np.nan, np.inf
    report = doctor(calibrated(), x)
    assert found(report, "not_finite") == [("not_finite", "inputs", "5 of 1,024 values are NaN or infinite")]
    assert not report.ok


def test_weights_that_are_no_numbers_and_the_first_layer_to_hand_them_on(calibrated, samples):
    model = calibrated()
    for name in ("hidden", "logits"):
        layer = model.get_layer(name)
        kernel = keras.ops.convert_to_numpy(layer.kernel).copy()
        kernel[0, 0] = np.nan
        layer.kernel.assign(kernel)
    assert found(doctor(model, samples()), "not_finite") == [
        ("not_finite", "hidden", "1 of 26 variables are NaN or infinite"),
        ("not_finite", "logits", "1 of 19 variables are NaN or infinite"),
        ("not_finite", "hidden", "256 of 1,280 outputs are NaN or infinite"),
    ]


def test_bits_that_are_no_numbers(calibrated, samples):
    model = calibrated()
    model.get_layer("hidden").kernel_quantizer.b.assign(np.full((4, 5), np.nan))
    assert ("not_finite", "hidden.kernel", "20 of 40 variables are NaN or infinite") in found(
        doctor(model, samples()), "not_finite"
    )


def test_a_layer_that_makes_infinities(samples):
    inputs = keras.Input((4,))
    scaled = keras.layers.Rescaling(1e38, name="scaled")(inputs)
    model = keras.Model(inputs, keras.layers.ReLU(name="after")(keras.layers.Rescaling(1e38, name="again")(scaled)))
    assert found(doctor(model, np.full((2, 4), 0.5, np.float32)), "not_finite") == [
        ("not_finite", "again", "8 of 8 outputs are NaN or infinite")
    ]


def test_gradients_that_are_no_numbers():
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, name="root"), keras.layers.Lambda(keras.ops.sqrt)]
    )
    model.layers[0].kernel.assign(np.zeros((2, 2)))  # the slope of the root at 0
    y = np.full((3, 2), 1, np.float32)
    model.compile("sgd", "mean_squared_error")
    assert found(doctor(model, np.ones((3, 2), np.float32), y), "not_finite") == [
        ("not_finite", "root", "6 of 6 gradients are NaN or infinite")
    ]


# Bits.


def test_bits_at_their_bounds(samples):
    model = identity(
        input_quantizer=KIF(i_bounds=(-2, 3), f_bounds=(0, 7), overflow_mode="SAT"),
        kernel_quantizer=KBI(b_bounds=(0, 8), b=4, i_bounds=(1, 1), i=1),
    )
    layer = model.layers[0]
    layer.kernel_quantizer.b.assign([[0, 3], [0, 7]])
    report = doctor(model, samples(8, 2))
    # Bits that may not move are at no bound.
    assert found(report, "upper_bound") == []
    kernel = slots(report)["same", "kernel"]
    assert (kernel.at_lower, kernel.at_upper) == (0.5, 0.0)
    layer.kernel_quantizer.b.assign([[0, 8], [2, 7]])
    layer.input_quantizer.f.assign([[7, 7]])
    report = doctor(model, samples(8, 2))
    assert found(report, "upper_bound") == [
        ("upper_bound", "same.input", "f is at its upper bound, 7, in 2 of 2 elements"),
        ("upper_bound", "same.kernel", "b is at its upper bound, 8, in 1 of 4 elements"),
    ]
    shares = slots(report)
    assert (shares["same", "kernel"].at_lower, shares["same", "kernel"].at_upper) == (0.25, 0.25)
    assert (shares["same", "input"].at_lower, shares["same", "input"].at_upper) == (0.0, 0.5)


def test_bits_that_are_not_trained_are_at_no_bound(samples):
    model = identity(input_quantizer=KIF(i=3, i_bounds=(0, 3), trainable=False, overflow_mode="SAT"))
    report = doctor(model, samples(8, 2))
    assert found(report, "upper_bound") == []
    assert slots(report)["same", "input"].at_upper is None


# Arithmetic.


@pytest.mark.parametrize(("f", "words"), [(10, []), (20, ["its sums may need 27 bits, float32 has 24"])])
def test_sums_too_wide_for_float32(f, words):
    model = identity(
        use_bias=False,
        input_quantizer=KIF(k=1, i=2, f=f, overflow_mode="SAT"),
        kernel_quantizer=KBI(b=16, i=4, overflow_mode="SAT"),
    )
    model.layers[0].kernel.assign([[1.0, 0.0], [2.0**-4, 1.0]])
    # At most 2^22 steps of 2^-20, which are 2^26 of 2^-24, and 2^22 more.
    report = doctor(model, np.ones((2, 2), np.float32))
    assert found(report, "float32") == [("float32", "same", seen) for seen in words]


def test_layers_without_exact_arithmetic(samples):
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="plain")], name="inner")
    wide = {"input_quantizer": KIF(i=2, f=22, overflow_mode="SAT"), "kernel_initializer": "ones"}
    inputs = keras.Input((4,))
    both = [QDense(2, name="left")(inner(inputs)), QDense(2, name="wide", **wide)(inputs)]
    added = keras.layers.GroupNormalization(1, name="mean")(keras.layers.Add(name="sum")(both))
    model = keras.Model(inputs, keras.layers.Activation("tanh", name="bent")(added) + 1.0)
    added = model.operations[-1]
    calibrate(model, samples())
    report = doctor(model, samples())
    inexact = [each for each in report.findings if each.check.name == "not_exact"]
    assert [each.place for each in inexact] == ["inner/plain", "mean", "bent"]
    assert {each.severity for each in inexact} == {"note"}
    assert inexact[0].seen.startswith("keras.Dense has no exact arithmetic. Use dense in its place")
    # Nor does it hide what is found elsewhere, as in sums of floats that nothing quantizes.
    assert [each.place for each in report.findings if each.check.name == "float32"] == ["wide", "sum", added.name]


def test_adapted_keras_layers_are_exact(nested, samples):
    assert found(doctor(nested(), samples(256, 4, 1)), "not_exact", "no_graph") == []


def test_subclassed_models_are_looked_at_as_a_whole(samples):
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = QDense(2, name="inside", kernel_initializer="zeros")

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(samples())
    calibrate(model, samples())
    words = "its graph is not known, so its layers were not checked one by one"
    report = doctor(model, samples(scale=30))
    assert [(each.check.name, each.place) for each in report.findings] == [
        ("constant", "own"), ("all_zero", "inside.kernel"), ("no_gradient", "inside"), ("overflows", "inside.input"),
        ("no_graph", "own"),
    ]  # fmt: skip
    assert report.findings[-1].seen == words
