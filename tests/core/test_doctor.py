"""What `doctor` finds, one test for each finding and its healthy counterpart; and the command."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import hgq2_core.cli.main as cli
from hgq2_core import ConfigError, DataError, Quantizer, calibrate, doctor, freeze, load_config
from hgq2_core.diagnosis.gradients import gradients
from hgq2_core.quantizers.config import Slot
from hgq2_fixed_point import KBI, KIF
from hgq2_fixed_point.quantizers import KIFQuantizer
from hgq2_layers import QDense
from hgq2_training.demo import CONFIG
from hgq2_training.runs import directory as runs
from hgq2_training.runs import train as training_run

ONE = {"k": 1, "i": 2, "f": 0, "granularity": "tensor"}
"""A format with the steps of integers, from -4 to 3."""


def found(report, *checks):
    """The findings of some checks, in short."""
    return [(each.check.name, each.place, each.seen) for each in report.findings if each.check.name in checks]


def slots(report):
    return {(layer.name, slot.name): slot for layer in report.layers for slot in layer.slots}


def identity(**arguments):
    """One layer that hands its two inputs on."""
    model = keras.Sequential([keras.Input((2,)), QDense(2, name="same", kernel_initializer="identity", **arguments)])
    return model


@pytest.fixture
def calibrated(chain, samples):
    def make(**arguments):
        model = chain(**arguments)
        calibrate(model, samples())
        return model

    return make


def test_nothing_is_found_in_a_healthy_model(calibrated, samples):
    report = doctor(calibrated(), samples())
    assert (report.findings, report.ok, report.samples) == ((), True, 256)
    assert report.headline == "nothing to report; 256 samples"


def test_nothing_is_found_in_healthy_nested_models(nested, samples):
    model = nested()
    calibrate(model, samples(256, 4, 1))
    report = doctor(model, samples(256, 4, 1))
    assert report.findings == ()
    assert [(layer.name, layer.dead, [slot.name for slot in layer.slots]) for layer in report.layers] == [
        ("first", None, ["input", "kernel", "bias"]),
        ("middle/chain/hidden", 0.0, ["input", "kernel", "bias"]),
        ("middle/chain/logits", None, ["input", "kernel", "bias"]),
        ("middle/positive", 0.0, []),
        ("last", None, ["input", "kernel", "bias"]),
    ]


# Calibration.


def test_what_was_never_calibrated(nested, samples):
    report = doctor(nested(), samples(256, 4, 1))
    words = "it was never calibrated, so its integer bits are not fixed"
    assert found(report, "uncalibrated", "stale") == [
        ("uncalibrated", place, words)
        for place in ("first.input", "middle/chain/hidden.input", "middle/chain/logits.input", "last.input")
    ]
    assert not report.ok
    assert report.findings[0].remedy.startswith("Run hgq2_core.calibrate(model, data)")


def test_what_is_stale(calibrated, samples):
    model = calibrated()
    model.get_layer("logits").bias.assign([0.5, 1.0, -1.0])
    words = "its layer, or an earlier one, has changed since it was calibrated"
    report = doctor(model, samples())
    assert found(report, "uncalibrated", "stale") == [("stale", "logits.input", words)]
    assert not report.ok


def test_ranges_that_are_trained_need_no_calibration(samples):
    assert found(doctor(identity(input_quantizer=KIF(overflow_mode="SAT")), samples(9, 2)), "uncalibrated") == []


# Zeros.


def test_a_layer_without_weights_left(calibrated, samples):
    model = calibrated()
    hidden = model.get_layer("hidden")
    hidden.kernel.assign(np.zeros((4, 5)))
    calibrate(model, samples())
    report = doctor(model, samples())
    assert found(report, "all_zero", "constant") == [
        ("constant", "hidden", "none of its 5 outputs changes from sample to sample"),
        ("all_zero", "hidden.kernel", "all 20 weights are 0"),
    ]
    assert report.ok
    assert slots(report)["hidden", "kernel"].zeroed == 1


def test_shares_of_zeroed_weights(calibrated, samples):
    model = calibrated()
    kernel = np.ones((4, 5))
    kernel[0] = 2.0**-9  # a quarter of the step
    model.get_layer("hidden").kernel.assign(kernel)
    calibrate(model, samples())
    report = doctor(model, samples())
    assert found(report, "all_zero") == []
    assert slots(report)["hidden", "kernel"].zeroed == 0.25
    assert slots(report)["hidden", "bias"].zeroed == 0
    assert slots(report)["hidden", "input"].zeroed is None


def test_only_the_first_constant_layer_is_named(calibrated, samples):
    model = calibrated()
    model.get_layer("hidden").bias.assign(np.full(5, -100.0))
    calibrate(model, samples())
    report = doctor(model, samples())
    assert found(report, "constant", "dead") == [
        ("constant", "hidden", "none of its 5 outputs changes from sample to sample")
    ]


def test_one_sample_tells_nothing_of_constants(calibrated, samples):
    report = doctor(calibrated(), samples(1))
    assert found(report, "constant", "dead") == []
    assert [layer.dead for layer in report.layers] == [None, None]


@pytest.mark.parametrize(("dead", "findings"), [(0, 0), (2, 0), (3, 1), (4, 1)])
def test_dead_outputs_of_relu(calibrated, samples, dead, findings):
    model = calibrated()
    model.get_layer("hidden").bias.assign([-100.0] * dead + [1.0] * (5 - dead))
    calibrate(model, samples())
    report = doctor(model, samples())
    expected = [("dead", "hidden", f"{dead} of 5 outputs are 0 for every sample")]
    assert found(report, "dead", "constant") == expected * findings
    assert [(layer.name, layer.dead) for layer in report.layers] == [("hidden", dead / 5), ("logits", None)]


def test_dead_outputs_of_kerases_relu():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.ReLU(name="positive")(inputs))
    x = np.array([[1, -1, -2], [2, -3, 0]], np.float32)
    assert found(doctor(model, x), "dead") == [("dead", "positive", "2 of 3 outputs are 0 for every sample")]
    assert found(doctor(model, -x), "dead") == []


# Gradients.


def test_gradients_are_those_of_the_computation():
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    layer.kernel.assign([[2.0], [3.0]])
    other = keras.Variable([1.0, 2.0])
    x = np.array([[1.0, 4.0], [5.0, 6.0]], np.float32)
    found = gradients(lambda: keras.ops.sum(layer(x) ** 2), [layer.kernel, layer.bias, other])
    # Outputs 14 and 28.
    np.testing.assert_array_equal(found[0], [[2 * (14 * 1 + 28 * 5)], [2 * (14 * 4 + 28 * 6)]])
    np.testing.assert_array_equal(found[1], [2 * (14 + 28)])
    np.testing.assert_array_equal(found[2], [0, 0])
    np.testing.assert_array_equal(layer.kernel, [[2.0], [3.0]])
    (nothing,) = gradients(lambda: keras.ops.ones(()), [other])
    np.testing.assert_array_equal(nothing, [0, 0])


@pytest.mark.parametrize("compiled", [False, True])
def test_layers_that_no_gradient_reaches(calibrated, samples, compiled):
    """Neither the cost of its bits nor a regularizer makes a layer alive."""
    model = calibrated(kernel_regularizer="l2", ebops_beta=1.0)
    model.compile("sgd", "mean_squared_error")
    y = samples(256, 3) if compiled else None
    assert found(doctor(model, samples(), y), "no_gradient") == []
    model.get_layer("hidden").bias.assign(np.full(5, -100.0))
    calibrate(model, samples())
    # The outputs after it still move by their biases.
    assert found(doctor(model, samples(), y), "no_gradient") == [
        ("no_gradient", "hidden", "the gradient of all 25 weights is 0")
    ]


def test_the_compiled_loss_decides_what_is_alive(samples):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, {name: QDense(2, name=name)(inputs) for name in ("used", "idle")})
    calibrate(model, samples())
    model.compile("sgd", {"used": "mean_squared_error", "idle": None})
    y = {"used": samples(256, 2), "idle": samples(256, 2)}
    assert found(doctor(model, samples(), y), "no_gradient") == [
        ("no_gradient", "idle", "the gradient of all 10 weights is 0")
    ]
    assert found(doctor(model, samples()), "no_gradient") == []


def test_one_batch_with_a_gradient_is_enough(samples):
    model = identity(use_bias=False)
    nothing = np.zeros((4, 2), np.float32)
    x = np.concatenate([nothing, samples(4, 2), nothing])
    assert found(doctor(model, x, batch_size=4), "no_gradient") == []
    assert len(found(doctor(model, nothing), "no_gradient")) == 1


def test_targets_need_a_loss(chain, samples):
    model = chain()
    with pytest.raises(ConfigError) as error:
        doctor(model, samples(), samples(256, 3))
    assert str(error.value) == "doctor: chain is not compiled with a loss. Received: y. Compile it, or leave y out."
    model.compile("sgd")
    with pytest.raises(ConfigError, match="not compiled with a loss"):
        doctor(model, samples(), samples(256, 3))


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


# The examination.


def test_the_model_is_not_changed(chain, samples):
    model = chain()
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in model.variables]
    outputs = model.predict(samples(), verbose=0)
    doctor(model, samples(scale=100))
    after = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert all("quantize" not in vars(quantizer) for layer in model.layers for quantizer in layer.quantizers)
    np.testing.assert_array_equal(model.predict(samples(), verbose=0), outputs)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_decide_nothing(calibrated, samples, batch_size):
    model = calibrated()
    x = samples(50, scale=9)
    report = doctor(model, x, batch_size=batch_size)
    assert report == doctor(model, x)
    assert [each.check.name for each in report.findings] == ["overflows", "overflows"]


def test_frozen_models(calibrated, samples):
    model = calibrated()
    report = doctor(freeze(model), samples(scale=9))
    assert found(report, "overflows") == found(doctor(model, samples(scale=9)), "overflows")
    assert len(report.findings) == 2


def test_inputs_as_list_and_mapping(samples):
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], [QDense(2, name="left")(a), QDense(3, name="right")(b)])
    x, y = samples(100), samples(100, seed=2)
    calibrate(model, [x, y])
    report = doctor(model, [x, 10 * y])
    assert [each.place for each in report.findings] == ["right.input"]
    assert doctor(model, {"b": 10 * y, "a": x}) == report
    with pytest.raises(DataError) as error:
        doctor(model, {"a": x, "c": y})
    assert str(error.value) == f"{model.name}: no data for b. Received: a, c."
    with pytest.raises(DataError) as error:
        doctor(model, x)
    assert str(error.value) == f"{model.name}: takes 2 inputs, a, b. Received: 1 arrays."


def test_a_layer_applied_twice_is_examined_over_both(samples):
    shared = QDense(4, "relu", name="shared")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, shared(shared(inputs)))
    calibrate(model, samples())
    report = doctor(model, samples(100, scale=50))
    (finding,) = [each for each in report.findings if each.check.name == "overflows"]
    assert finding.numbers["of"] == 800
    assert [layer.name for layer in report.layers] == ["shared"]


@pytest.mark.parametrize(("x", "y"), [(0, None), (3, 2)])
def test_samples_are_needed(chain, samples, x, y):
    model = chain()
    model.compile("sgd", "mean_squared_error")
    with pytest.raises(DataError, match=r"^doctor: inputs need one number of samples, above 0"):
        doctor(model, samples(x), None if y is None else samples(y, 3))


# The report.


def test_the_report_prints_worst_first_with_remedies():
    one = QDense(2, "relu", name="one", kernel_quantizer=KBI(b=8, b_bounds=(0, 8)))
    model = keras.Sequential([keras.Input((2,)), one, keras.layers.Dense(1, name="plain")])
    model.layers[0].kernel.assign(np.eye(2))
    model.layers[1].kernel.assign([[1], [2]])
    lines = [line.rstrip() for line in str(doctor(model, np.eye(2, dtype=np.float32))).splitlines()]
    assert lines[:6] == [
        "1 error, 1 warning, 1 note; 2 samples",
        "error one.input: it was never calibrated, so its integer bits are not fixed",
        "  → Run hgq2_core.calibrate(model, data) on training data first.",
        "warning one.kernel: b is at its upper bound, 8, in 4 of 4 elements",
        "  → Raise the upper bound: training asks for more bits than it may have.",
        "note plain: keras.Dense has no exact arithmetic. Use dense in its place, or a Keras layer that has (hgq2 list",
    ]
    table = [line.split() for line in lines if "kernel" in line]
    assert table[-1] == ["kernel", "50%", "0%", "0%", "50%"]


def test_the_report_is_plain_data(chain, samples):
    data = json.loads(json.dumps(doctor(chain(), samples()).to_dict()))
    assert data.keys() == {"ok", "samples", "findings", "layers"}
    assert (data["ok"], data["samples"]) == (False, 256)
    assert data["findings"][0].keys() == {"severity", "check", "layer", "slot", "seen", "numbers", "remedy"}
    assert data["layers"][0]["slots"][1] == {
        "name": "kernel", "zeroed": 0, "outside": 0, "at_lower": 0, "at_upper": 0,
    }  # fmt: skip


# The command.


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's run directory, after two epochs."""
    directory = tmp_path_factory.mktemp("demo") / "run"
    training_run.train(load_config(CONFIG), directory, epochs=2)
    return directory


def hgq2_doctor(*arguments, code=0):
    result = CliRunner().invoke(cli.app, ["doctor", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.once
def test_the_demo_is_healthy(demo):
    assert hgq2_doctor(demo, "--split", "train", "--strict").stdout.startswith("nothing to report; 1168 samples\n")
    data = json.loads(hgq2_doctor(demo, "--json").stdout)
    assert (data["ok"], data["samples"]) == (True, 449)
    # Unseen images may hold a value or two beyond what training data needed.
    assert {finding["check"] for finding in data["findings"]} <= {"overflows"}
    assert json.loads(hgq2_doctor(demo, "--json", "--samples", 7, "--split", "validation").stdout)["samples"] == 7


def test_strict_fails_where_a_finding_is_an_error(demo, tmp_path):
    model = runs.load(demo)
    model.get_layer("logits").bias.assign(np.ones(10))
    (tmp_path / "config.yaml").write_text((demo / "config.yaml").read_text())
    runs.save(model, tmp_path / "model.keras")
    text = hgq2_doctor(tmp_path).stdout
    assert "error logits.input: its layer, or an earlier one" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert hgq2_doctor(tmp_path, "--strict", code=4).stdout == text


def test_a_part_that_the_data_do_not_have(demo, tmp_path):
    document = yaml.safe_load((demo / "config.yaml").read_text())
    document["data"]["validation_fraction"] = 0
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "model.keras").write_bytes((demo / "model.keras").read_bytes())
    assert hgq2_doctor(tmp_path, "--split", "validation", code=2).stderr.startswith(
        "error: doctor: the data set has no validation part."
    )
    assert "no such file" in hgq2_doctor(tmp_path / "nowhere", code=2).stderr
