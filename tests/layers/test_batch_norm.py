"""The layers that normalize: folded and costed as docs/numerics.md#8 and #7 say, and the predecessor's faults."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from batch_norms import CLASSES, OPTIONS, SATURATING, fill, make, own_variables, plain, slots, statistics, values

from hgq2_core import ConfigError, calibrate, ebops, freeze, load_model, verify
from hgq2_core.quantizers.phase import calibrating, fitting
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QBatchNormalization, QBatchNormDense, QDenseBatchNorm, QEinsumDenseBatchNorm

# Folding.


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("options", [OPTIONS, {"scale": False}], ids=str)
def test_what_is_folded(cls, options):
    layer = make(cls, **options)
    layer.build((None, 4))
    fill(layer)
    held = {variable.name: numpy_of(variable).astype(np.float64) for variable in own_variables(layer)}
    s = held.get("gamma", 1.0) / np.sqrt(held["moving_variance"] + layer.epsilon)
    mean = held["moving_mean"]
    if cls is QBatchNormalization:
        wanted = {"scale": s, "offset": held["beta"] - mean * s}
    elif cls is QBatchNormDense:
        wanted = {"kernel": s[:, None] * held["kernel"], "bias": held["bias"] - mean @ (s[:, None] * held["kernel"])}
    else:
        wanted = {"kernel": held["kernel"] * s, "bias": held["beta"] - mean * s}
    folded = layer.folded()
    assert set(folded) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(numpy_of(folded[name]), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", CLASSES)
def test_outputs_are_those_of_the_quantized_constants(independent, cls):
    layer = make(cls, input_quantizer=SATURATING)
    layer.build((None, 4))
    fill(layer)
    x = independent.quantized(layer.input_quantizer, values(64, 4))
    constants = {
        name: independent.quantized(layer.slot_quantizer(name), numpy_of(value))
        for name, value in layer.folded().items()
    }
    first, second = constants.values()
    wanted = x * first + second if cls is QBatchNormalization else x @ first + second
    assert len(np.unique(wanted)) > 10
    assert np.array_equal(numpy_of(layer(values(64, 4))), wanted)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_trained_model_predicts_the_same_frozen_saved_and_loaded(cls, tmp_path):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((4,)), make(cls, momentum=0.5), make(cls, momentum=0.5)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = values(128, 4)
    bits = [numpy_of(v) for v in model.trainable_variables if getattr(v, "is_bit_width", False)]
    model.fit(x, values(128, *model.output_shape[1:]), epochs=3, batch_size=32, verbose=0)
    moved = [
        not np.array_equal(before, numpy_of(v))
        for before, v in zip(
            bits, [v for v in model.trainable_variables if getattr(v, "is_bit_width", False)], strict=True
        )
    ]
    assert all(moved)
    calibrate(model, x)
    assert verify(model, values(1000, 4, seed=5)).mismatches == 0
    model.save(tmp_path / "model.keras")
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    wanted = model.predict(x, verbose=0)
    assert np.isfinite(wanted).all()
    for each in (frozen, load_model(tmp_path / "model.keras"), load_model(tmp_path / "frozen.keras")):
        assert np.array_equal(each.predict(x, verbose=0), wanted)
    held = {variable.name for variable in frozen.layers[0].variables}
    assert held.isdisjoint({"gamma", "beta", "moving_mean", "moving_variance"})


# Statistics.


@pytest.mark.parametrize("cls", CLASSES)
def test_moving_statistics_follow_once_a_call_in_training_only(cls):
    layer = make(cls, momentum=0.75)
    x = values(64, 4)
    layer(x)
    assert [np.unique(each).tolist() for each in statistics(layer)] == [[0.0], [1.0]]
    model = keras.Sequential([keras.Input((4,)), layer])
    calibrate(model, x)
    with calibrating():
        layer(x, training=True)
    with fitting():
        layer(x, training=True)
    assert [np.unique(each).tolist() for each in statistics(layer)] == [[0.0], [1.0]]
    layer(x, training=True)
    once = statistics(layer)[0]
    layer(x, training=True)
    np.testing.assert_allclose(statistics(layer)[0], once * 1.75, rtol=1e-5)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_untrainable_layer_uses_its_moving_statistics(cls):
    layer = make(cls, trainable=False, input_quantizer=SATURATING)
    x = values(64, 4)
    outputs = numpy_of(layer(x))
    assert np.array_equal(numpy_of(layer(x, training=True)), outputs)
    assert [np.unique(each).tolist() for each in statistics(layer)] == [[0.0], [1.0]]


@pytest.mark.parametrize("cls", CLASSES)
def test_synchronized_statistics_are_for_tensorflow(cls):
    if keras.backend.backend() == "tensorflow":
        assert make(cls, synchronized=True).get_config()["synchronized"] is True
        return
    with pytest.raises(ConfigError) as caught:
        make(cls, synchronized=True, name="everywhere")
    assert str(caught.value) == (
        "everywhere: Keras synchronizes statistics on tensorflow only. "
        f"Received: synchronized=True on {keras.backend.backend()}."
    )


# The predecessor's faults.


@pytest.mark.parametrize("cls", CLASSES)
def test_fault_6_the_layer_has_its_own_epsilon(cls):
    layer = make(cls)
    layer.build((None, 4))
    layer.moving_variance.assign(np.full(layer.moving_variance.shape, 0.0))
    assert layer.epsilon == 1e-3
    np.testing.assert_allclose(numpy_of(layer.factors(layer.moving_variance)), 1 / np.sqrt(1e-3), rtol=1e-6)


@pytest.mark.parametrize("options", [{"momentum": 0.5}, {"scale": False}, {"center": False}], ids=str)
def test_fault_6_a_loaded_model_trains_on_as_the_saved_one(options, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((3, 4)),
            QEinsumDenseBatchNorm("abc,cd->abd", (None, 5), "relu", normalize_axes="d", **options),
            QEinsumDenseBatchNorm("...a,ab->...b", 2, bias_axes="b", **options),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x, y = values(32, 3, 4), values(32, 3, 2)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, again):
        each.train_on_batch(x, y)
    for variable, other in zip(model.variables, again.variables, strict=True):
        assert np.array_equal(numpy_of(variable), numpy_of(other)), variable.path


def test_fault_7_the_offset_of_normalized_inputs_has_the_scale():
    layer = plain(QBatchNormDense, 1, epsilon=1.0)
    layer.build((None, 2))
    for name, value in {"kernel": [[2.0], [1.0]], "bias": [0.5], "gamma": [6.0, 4.0]}.items():
        getattr(layer, name).assign(np.array(value))
    layer.moving_mean.assign([5.0, 7.0])
    layer.moving_variance.assign([3.0, 15.0])
    # s = 6/2 and 4/4; at the mean only the bias is left.
    assert numpy_of(layer.folded()["bias"]).tolist() == [0.5 - (5 * 3 * 2 + 7 * 1 * 1)]
    assert numpy_of(layer(np.array([[5.0, 7.0]], np.float32))).tolist() == [[0.5]]


@pytest.mark.parametrize("cls", [QBatchNormalization, QDenseBatchNorm, QEinsumDenseBatchNorm])
def test_fault_7_without_center_nothing_is_added(cls):
    layer = make(cls, center=False)
    layer.build((None, 4))
    assert layer.beta is None
    name = "offset" if cls is QBatchNormalization else "bias"
    assert not numpy_of(layer.folded()[name]).any()
    assert not numpy_of(layer(np.zeros((1, 4), np.float32))).any()


# Cost.


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize("shape", [(4,), (3, 4)])
@pytest.mark.parametrize("cls", CLASSES)
def test_ebops(independent, cls, shape, granularity):
    names = {name: {"kind": "kbi", "granularity": granularity, "overflow_mode": "SAT"} for name in slots(cls)}
    layer = make(cls, **names, ebops_beta=1.0)
    layer.build((None, *shape))
    rng = np.random.default_rng(1)
    for quantizer in layer.quantizers:
        quantizer.b.assign(rng.integers(1, 8, size=tuple(quantizer.b.shape)))
    x_bits = independent.counted(layer.input_quantizer, shape)
    first, second = (
        independent.counted(layer.slot_quantizer(name), tuple(value.shape)) for name, value in layer.folded().items()
    )
    products = x_bits * first if cls is QBatchNormalization else x_bits @ first
    assert ebops(layer) == products.sum() + np.broadcast_to(second, products.shape).sum() > 0


@pytest.mark.parametrize("axis", [1, 2])
def test_ebops_along_another_axis(axis):
    layer = QBatchNormalization(
        axis, input_quantizer=KIF(i=1, f=2, overflow_mode="SAT_SYM"), offset_quantizer=KBI(b=5, overflow_mode="SAT_SYM")
    )
    layer.build((None, 2, 3, 4))
    channels = [2, 3][axis - 1]
    layer.scale_quantizer.b.assign(np.arange(1, channels + 1))
    each = 24 // channels
    assert ebops(layer) == each * 3 * sum(range(1, channels + 1)) + 24 * 5
