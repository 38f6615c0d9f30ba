"""What a config can ask of training: first bits from values, a scaled gradient, and quantization blended in."""

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core import ConfigError, DataError, calibrate, fit_ranges, freeze, verify
from hgq2_core.diagnosis.gradients import gradients
from hgq2_core.model.calibration import require_calibrated
from hgq2_core.quantizers.config import Slot
from hgq2_fixed_point import KBI, KIF
from hgq2_fixed_point.config import FitTo
from hgq2_layers import QDense


def build(config, shape, role="weight"):
    quantizer = config.build(Slot(role, "slot", "layer"))
    quantizer.build(shape)
    return quantizer


def samples(*shape, spread=1.0):
    return (np.random.default_rng(0).normal(size=shape) * spread).astype("float32")


# fit_to.


def dense(**quantizers):
    model = keras.Sequential([keras.Input((4,)), QDense(3, kernel_initializer=constant(0.75), **quantizers)])
    return model, model.layers[0]


def constant(values):
    return {"class_name": "Constant", "config": {"value": values}}


@pytest.mark.parametrize(("margin", "i"), [(0, 0), (2, 2), (-1, -1)])
def test_weights_get_the_smallest_i_that_holds_them(margin, i):
    model, layer = dense(kernel_quantizer=KBI(b=4, i=5, fit_to=FitTo(margin=margin)))
    assert fit_ranges(model, samples(10, 4)) == (f"{layer.name}.kernel",)
    assert (numpy_of(layer.kernel_quantizer.i) == i).all()


def test_activations_get_the_smallest_i_that_holds_the_data():
    model, layer = dense(input_quantizer=KIF(i=2, f=3, overflow_mode="SAT", granularity="tensor", fit_to=FitTo()))
    x = samples(100, 4)
    x[3, 1] = 13.0
    fit_ranges(model, x)
    assert numpy_of(layer.input_quantizer.i).tolist() == [[4.0]]


def test_a_percentile_leaves_the_largest_out():
    fit = FitTo(percentile=99.0)
    model, layer = dense(input_quantizer=KIF(i=2, f=3, overflow_mode="SAT", granularity="tensor", fit_to=fit))
    x = np.ones((100, 4), "float32") * 0.9
    x[3, 1] = 1000.0
    fit_ranges(model, x)
    assert numpy_of(layer.input_quantizer.i).tolist() == [[0.0]]


def test_bounds_hold():
    model, layer = dense(kernel_quantizer=KBI(b=4, i=5, i_bounds=(2, 8), fit_to=FitTo()))
    fit_ranges(model, samples(10, 4))
    assert (numpy_of(layer.kernel_quantizer.i) == 2).all()


def test_later_layers_see_what_fitted_layers_give():
    fit = KIF(i=0, f=4, overflow_mode="SAT", granularity="tensor", fit_to=FitTo())
    layers = [QDense(1, kernel_initializer="ones", input_quantizer=fit) for _ in range(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    fit_ranges(model, np.full((5, 4), 3.0, "float32"))
    assert [numpy_of(layer.input_quantizer.i).item() for layer in layers] == [2.0, 4.0]


def test_nothing_is_set_where_nothing_says_so():
    model, layer = dense()
    before = numpy_of(layer.kernel_quantizer.i).copy()
    assert fit_ranges(model, samples(10, 4)) == ()
    assert (numpy_of(layer.kernel_quantizer.i) == before).all()


def test_a_layer_applied_twice_is_fitted_to_both():
    fit = KIF(i=0, f=4, overflow_mode="SAT", granularity="tensor", fit_to=FitTo())
    layer = QDense(4, kernel_initializer="identity", kernel_quantizer=KBI(b=8, i=1), input_quantizer=fit)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(0.125 * layer(inputs)))
    for largest, needed in ((100.0, 7), (3.0, 2)):  # each time anew
        fit_ranges(model, np.full((5, 4), largest, "float32"))
        assert np.all(keras.ops.convert_to_numpy(layer.input_quantizer.i) == needed)


def test_data_without_samples_fit_nothing():
    model, _ = dense(kernel_quantizer=KBI(fit_to=FitTo()))
    with pytest.raises(DataError, match=r"fit_ranges: inputs need one number of samples, above 0\. Received: \[0\]"):
        fit_ranges(model, samples(0, 4))


def test_a_range_that_follows_its_values_has_nothing_to_set():
    with pytest.raises(ConfigError) as error:
        QDense(3, name="d", kernel_quantizer=KBI(overflow_mode="WRAP", fit_to=FitTo()))
    assert str(error.value) == (
        "d.kernel: fit_to has nothing to set: i of a weight with overflow_mode='WRAP' is what the present values need. "
        "Remove fit_to, or use a saturating mode."
    )


# scale_gradient.


@pytest.mark.parametrize("kind", [KBI, KIF])
@pytest.mark.parametrize(
    ("role", "shape", "granularity", "sharing"),
    [
        ("weight", (8, 2), "tensor", 16),
        ("weight", (8, 2), "channel", 8),
        ("weight", (8, 2), "element", 1),
        ("activation", (None, 9), "tensor", 9),
        ("activation", (None, 4, 3), "channel", 4),
    ],
)
@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "WRAP"])
def test_the_gradient_of_shared_bits_is_divided_by_the_root_of_their_number(
    kind, role, shape, granularity, sharing, overflow_mode
):
    def taken(scale_gradient):
        config = kind(i=1.0, overflow_mode=overflow_mode, granularity=granularity, scale_gradient=scale_gradient)
        quantizer = build(config, shape, role)
        x = samples(*(size or 5 for size in shape), spread=2.0)
        return gradients(lambda: keras.ops.sum(quantizer.quantize(x, True) ** 2), quantizer.trainable_variables)

    plain, scaled = taken(False), taken(True)
    assert plain
    for a, b in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(b, a * sharing**-0.5, rtol=1e-5)


# noise.


@pytest.mark.parametrize("config", [KBI(b=3, noise=0.25), KIF(i=1, f=1, noise=0.25, overflow_mode="WRAP")])
@pytest.mark.parametrize("role", ["weight", "activation"])
def test_training_sees_a_share_of_the_quantization_and_inference_all(config, role):
    plain = config.model_copy(update={"noise": 1.0})
    x = samples(6, 4, spread=2.0)
    outputs = {}
    for name, each in {"blended": config, "plain": plain}.items():
        quantizer = build(each, (None, 4) if role == "activation" else (6, 4), role)
        outputs[name] = [
            numpy_of(quantizer.quantize(keras.ops.convert_to_tensor(x), training)) for training in (True, False)
        ]
    (blended, inferred), (trained, wanted) = outputs["blended"], outputs["plain"]
    np.testing.assert_array_equal(inferred, wanted)
    np.testing.assert_allclose(blended, 0.25 * trained + 0.75 * x, rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_at_its_ends_the_share_is_exact(share):
    quantizer = build(KBI(b=3, noise=0.5), (6, 4))
    quantizer.noise.assign(share)
    x = samples(6, 4)
    q = numpy_of(quantizer.quantize(keras.ops.convert_to_tensor(x), training=True))
    np.testing.assert_array_equal(q, numpy_of(quantizer.quantize(keras.ops.convert_to_tensor(x))) if share else x)


def test_without_noise_there_is_no_variable():
    assert build(KBI(), (2, 2)).noise is None


def test_a_model_with_noise_is_calibrated_frozen_and_verified_whatever_its_noise():
    quantizers = {"kernel_quantizer": KBI(b=4, noise=0.0), "input_quantizer": KIF(noise=0.5)}
    layer = QDense(3, **quantizers)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile("adam", "mean_squared_error")
    x = samples(200, 4)
    model.fit(x, x[:, :3], verbose=0)
    calibrate(model, x)
    layer.input_quantizer.noise.assign(0.75)
    require_calibrated(model, "verify")
    assert verify(model, x).mismatches == 0
    np.testing.assert_array_equal(model.predict(x, verbose=0), freeze(model).predict(x, verbose=0))
