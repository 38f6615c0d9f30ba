"""Calibration: what it fixes, what it records, and when the record no longer holds.

See docs/numerics.md#3, #9.16 and #9.18.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core import CalibrationError, ConfigError, DataError, calibrate, freeze, layers_of, verify
from hgq2_core.model.calibration import digest, digests, observed, read_record, require_calibrated
from hgq2_core.quantizers.base import Quantizer
from hgq2_fixed_point import KBI, KIF, quantize
from hgq2_layers import QDense


def state(model):
    return [numpy_of(variable).copy() for variable in model.variables]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def needed(x, f):
    """The smallest i that holds a column after rounding, by trying."""
    x = np.asarray(x, dtype=np.float64)
    wide = quantize(x, 1, 30, f, "RND", "SAT")
    return next(i for i in range(-23, 24) if (quantize(x, 1, i, f, "RND", "SAT") == wide).all())


def test_ranges_are_what_the_data_need(chain, samples):
    model, x = chain(), samples()
    calibrate(model, x)
    quantizer = model.layers[0].input_quantizer
    assert numpy_of(quantizer.i)[0].tolist() == [needed(x[:, column], 6) for column in range(4)]
    assert numpy_of(quantizer.k)[0].tolist() == [1.0] * 4
    hidden = np.asarray(numpy_of(model.layers[0](x)), dtype=np.float64)
    quantizer = model.layers[1].input_quantizer
    assert numpy_of(quantizer.i)[0].tolist() == [needed(hidden[:, column], 6) for column in range(5)]
    assert numpy_of(quantizer.k)[0].tolist() == [0.0] * 5  # behind a relu


@pytest.mark.parametrize("batch_size", [1, 7, 256, 1000])
def test_batches_decide_nothing(chain, samples, batch_size):
    model, x = chain(), samples()
    calibrate(model, x)
    wanted = state(model)
    calibrate(model, x, batch_size=batch_size)
    assert same(state(model), wanted)


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_batches_decide_nothing_for_ranges_that_move_the_step(chain, samples, batch_size):
    model, x = chain(input_quantizer=KBI(b=4, overflow_mode="WRAP", granularity="tensor")), samples()
    calibrate(model, x)
    wanted = [numpy_of(quantizer.i).tolist() for quantizer in observed(model)]
    calibrate(model, x, batch_size=batch_size)
    assert [numpy_of(quantizer.i).tolist() for quantizer in observed(model)] == wanted


@pytest.mark.parametrize("config", [KIF(overflow_mode="WRAP"), KBI(overflow_mode="WRAP")], ids=["kif", "kbi"])
def test_values_that_are_all_negative(config):
    model = keras.Sequential([keras.Input((2,)), QDense(1, name="a", input_quantizer=config)])
    x = np.array([[-5.0, -0.5], [-4.0, -1.0]], dtype=np.float32)
    calibrate(model, x)
    quantizer = model.layers[0].input_quantizer
    assert numpy_of(quantizer.k).tolist() == [[1.0, 1.0]]
    assert numpy_of(quantizer.i).tolist() == [[3.0, 0.0]]
    assert numpy_of(quantizer.quantize(keras.ops.convert_to_tensor(x))).tolist() == x.tolist()


@pytest.mark.parametrize("f", [0, -1])
def test_whole_and_coarser_steps(f):
    model = keras.Sequential([keras.Input((1,)), QDense(1, name="a", input_quantizer=KIF(f=f, overflow_mode="WRAP"))])
    calibrate(model, np.array([[6.0], [2.0]], dtype=np.float32))
    assert numpy_of(model.layers[0].input_quantizer.i).tolist() == [[3.0]]


def test_the_record_is_with_every_quantizer(chain, samples):
    model = chain()
    report = calibrate(model, samples(200), margin=1)
    assert report.to_dict() == {"samples": 200, "margin": 1, "quantizers": ("hidden.input", "logits.input")}
    assert str(report) == "calibrated 2 quantizers on 200 samples, margin 1 bits"
    for quantizer, (words,) in digests(model).items():
        assert numpy_of(quantizer.record).tolist() == [200, 1, *words.tolist(), *[0] * 6]
    assert read_record(model) == (200, 1)


def test_a_new_model_is_uncalibrated(chain):
    with pytest.raises(CalibrationError) as caught:
        require_calibrated(chain(), "export")
    for part in ("export: uncalibrated", "hidden.input, logits.input", "hgq2_core.calibrate(model, data)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("what", ["verify", "freeze"])
def test_uncalibrated_models_are_refused(chain, samples, what):
    """docs/numerics.md#9.16: they silently returned wrapped values."""
    use = {"verify": lambda model: verify(model, samples()), "freeze": freeze}[what]
    with pytest.raises(CalibrationError, match=f"{what}: uncalibrated.*hidden.input"):
        use(chain())


@pytest.mark.parametrize("what", ["verify", "freeze"])
def test_stale_models_are_refused(chain, samples, what):
    use = {"verify": lambda model: verify(model, samples()), "freeze": freeze}[what]
    model = chain()
    calibrate(model, samples())
    use(model)
    model.layers[0].kernel.assign(model.layers[0].kernel + 1)
    with pytest.raises(CalibrationError, match=rf"{what}: stale.*hidden.input, logits.input.*calibrate\(model, data\)"):
        use(model)
    calibrate(model, samples())
    use(model)


@pytest.mark.parametrize(
    "name",
    [
        *("kernel", "bias", "kernel_quantizer.b", "kernel_quantizer.i"),
        *("input_quantizer.f", "input_quantizer.i", "input_quantizer.k"),
    ],
)
def test_any_variable_that_changes_makes_it_stale(chain, samples, name):
    model = chain()
    calibrate(model, samples())
    require_calibrated(model, "test")
    variable = model.layers[1]
    for part in name.split("."):
        variable = getattr(variable, part)
    before = numpy_of(variable).copy()
    variable.assign(before + 1)
    with pytest.raises(CalibrationError, match="stale"):
        require_calibrated(model, "test")
    variable.assign(before)
    require_calibrated(model, "test")


def test_plain_keras_weights_make_it_stale(samples):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), QDense(2)])
    calibrate(model, samples())
    model.layers[0].bias.assign(model.layers[0].bias + 1)
    with pytest.raises(CalibrationError, match="stale"):
        require_calibrated(model, "test")


def test_beta_does_not_make_it_stale(chain, samples):
    model = chain()
    calibrate(model, samples())
    model.layers[0].ebops_beta.assign(0.5)
    require_calibrated(model, "test")


def test_seeds_do_not_make_it_stale(samples):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), QDense(2)])
    calibrate(model, samples())
    seed = model.layers[0].seed_generator.state
    seed.assign(numpy_of(seed) + 1)
    require_calibrated(model, "test")


def test_training_makes_it_stale_and_checks_nothing(chain, samples):
    model = chain()
    calibrate(model, samples())
    model.compile("adam", "mse")
    model.fit(samples(), np.zeros((256, 3)), verbose=0)
    with pytest.raises(CalibrationError, match="stale"):
        require_calibrated(model, "test")
    assert model.predict(samples(), verbose=0).shape == (256, 3)


def test_inference_keeps_it(chain, samples):
    model = chain()
    calibrate(model, samples())
    model.predict(samples(scale=100), verbose=0)
    model(samples(scale=100))
    require_calibrated(model, "test")


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_margin_adds_bits(chain, samples, margin):
    model = chain()
    calibrate(model, samples())
    before = [numpy_of(quantizer.i).copy() for quantizer in observed(model)]
    calibrate(model, samples(), margin=margin)
    assert same([numpy_of(quantizer.i) for quantizer in observed(model)], [i + margin for i in before])


@pytest.mark.parametrize("margin", [-1, 1.0, True, "1", None])
def test_a_margin_is_a_number_of_bits(chain, samples, margin):
    with pytest.raises(ConfigError, match="margin"):
        calibrate(chain(), samples(), margin=margin)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_data_that_no_range_holds_are_refused(chain, samples, value):
    model = chain()
    calibrate(model, samples())
    before = state(model)
    x = samples()
    x[-1, 2] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        calibrate(model, x)
    assert same(state(model), before)


@pytest.mark.parametrize("x", [np.zeros((0, 4), np.float32), [np.zeros((3, 4)), np.zeros((2, 4))]])
def test_data_need_samples(chain, x):
    model = chain()
    before = state(model)
    with pytest.raises(DataError, match="number of samples"):
        calibrate(model, x)
    assert same(state(model), before)


def test_a_failure_midway_restores_the_state(chain, samples):
    model = chain()
    calibrate(model, samples())
    before = state(model)
    with pytest.raises((ValueError, RuntimeError)):
        calibrate(model, samples(256, 5))
    assert same(state(model), before)


def test_values_that_become_nan_inside_the_model_are_refused(chain, samples):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(keras.ops.sqrt), QDense(2, name="after")])
    calibrate(model, np.abs(samples()))
    before = state(model)
    with pytest.raises(DataError, match="NaN"):
        calibrate(model, -np.abs(samples()))
    assert same(state(model), before)


def test_nested_models(nested, samples):
    model, x = nested(), samples(256, 4, 1)
    report = calibrate(model, x)
    assert sorted(report.quantizers) == ["first.input", "hidden.input", "last.input", "logits.input"]
    require_calibrated(model, "test")
    inner = model.get_layer("middle").get_layer("chain")
    inner.layers[0].kernel.assign(inner.layers[0].kernel + 1)
    with pytest.raises(CalibrationError, match="stale"):
        require_calibrated(model, "test")


def test_untrainable_quantizers_are_reached(samples):
    """docs/numerics.md#9.18."""
    config = KIF(overflow_mode="WRAP", trainable=False)
    model = keras.Sequential([keras.Input((4,)), QDense(2, name="a", input_quantizer=config, trainable=False)])
    x = samples()
    assert calibrate(model, x).quantizers == ("a.input",)
    assert numpy_of(model.layers[0].input_quantizer.i)[0].tolist() == [needed(x[:, column], 6) for column in range(4)]


def test_saturating_models_have_nothing_to_calibrate(chain, samples):
    model = chain(input_quantizer=KIF(overflow_mode="SAT"))
    require_calibrated(model, "test")
    assert verify(model, samples()).ok
    assert calibrate(model, samples()).quantizers == ()
    assert read_record(model) == (0, 0)


def test_plain_models_have_nothing_to_calibrate():
    require_calibrated(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), "test")


def test_the_record_survives_saving(nested, samples, tmp_path):
    model = nested()
    calibrate(model, samples(200, 4, 1), margin=2)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    require_calibrated(again, "test")
    assert read_record(again) == (200, 2)
    assert digest(again).tolist() == digest(model).tolist()
    again.get_layer("last").bias.assign([1.0, 2.0])
    with pytest.raises(CalibrationError, match="stale"):
        require_calibrated(again, "test")


def test_long_lists_are_cut():
    model = keras.Sequential([keras.Input((1,)), *[QDense(1, name=f"l{n}") for n in range(11)]])
    with pytest.raises(CalibrationError, match=r"l7\.input and 3 more"):
        require_calibrated(model, "test")


def test_several_inputs(samples):
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], [QDense(2, name="left")(a), QDense(2, name="right")(b)])
    x, y = samples(), samples(scale=40, seed=2)
    calibrate(model, [x, y])
    wanted = state(model)
    assert np.array_equal(
        numpy_of(model.get_layer("right").input_quantizer.i)[0], [needed(y[:, c], 6) for c in range(4)]
    )
    calibrate(model, {"a": x, "b": y})
    assert same(state(model), wanted)


def test_every_quantizer_of_a_model_is_known(nested):
    found = [str(layer.slot) for layer in layers_of(nested()) if isinstance(layer, Quantizer)]
    assert len(found) == len(set(found)) == 12
