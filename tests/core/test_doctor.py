"""What `doctor` finds of calibration, zeros and gradients, each beside its healthy counterpart; and its report."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from doctors import found, identity, slots

from hgq2_core import ConfigError, DataError, calibrate, doctor, freeze
from hgq2_core.diagnosis.gradients import gradients
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense


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
    kernel = data["layers"][0]["slots"][1]
    low, high = kernel["range"]
    assert low <= kernel["seen"][0] < kernel["seen"][1] <= high
    assert kernel == {
        "name": "kernel", "zeroed": 0, "outside": 0, "at_lower": 0, "at_upper": 0,
        "seen": kernel["seen"], "range": [low, high], "overflows": 0, "values": 20,
    }  # fmt: skip
