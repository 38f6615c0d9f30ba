"""The deployable form: constants as data, bit for bit the same outputs, in this process and in a fresh one."""

from __future__ import annotations

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core import ExactnessError, calibrate, ebops, freeze, layers_of, verify
from hgq2_core.errors import ConfigError
from hgq2_core.layers.base import QLayer
from hgq2_core.model.calibration import read_record, require_calibrated
from hgq2_core.model.freezing import is_frozen
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense


def outputs(model, x):
    return numpy_of(model(x)).view(np.uint32)


def bits(x):
    return np.asarray(x, dtype=np.float32).view(np.uint32)


@pytest.fixture
def models(chain, nested, samples):
    """A calibrated model of each sort, and inputs for it."""

    def make(sort):
        if sort == "nested":
            model, x = nested(), samples(256, 4, 1)
        elif sort == "plain layers":
            model, x = plain_layers(), samples()
        else:
            model, x = chain(**({"output_quantizer": KIF(f=3)} if sort == "outputs" else {})), samples()
        calibrate(model, x)
        return model, x

    return make


def plain_layers():
    """Keras layers that own weights, trained and moving ones, among quantized ones."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            QDense(5, name="a"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(4, activation="tanh"),
            QDense(2, name="b"),
        ]
    )
    model.layers[1].moving_mean.assign([0.1, -0.2, 0.3, 0.4, 0.5])
    model.layers[1].moving_variance.assign([1.5, 0.5, 2.0, 1.0, 0.25])
    return model


SORTS = pytest.mark.parametrize("sort", ["chain", "outputs", "nested", "plain layers"])


@SORTS
def test_outputs_are_the_same_bits(models, samples, sort):
    model, x = models(sort)
    frozen = freeze(model)
    for inputs in (x, x * 100):
        assert np.array_equal(outputs(frozen, inputs), outputs(model, inputs))
        assert np.array_equal(bits(frozen.predict(inputs, verbose=0)), outputs(model, inputs))


@SORTS
def test_the_original_is_not_changed(models, sort):
    model, _ = models(sort)
    before = [numpy_of(variable).copy() for variable in model.variables]
    config, trainable = model.get_config(), [variable.path for variable in model.trainable_variables]
    freeze(model)
    assert all(np.array_equal(a, numpy_of(b)) for a, b in zip(before, model.variables, strict=True))
    assert model.get_config() == config
    assert [variable.path for variable in model.trainable_variables] == trainable
    assert not is_frozen(model)


@SORTS
def test_the_original_is_alive_after_the_frozen_model_has_predicted(models, sort):
    model, x = models(sort)
    wanted = outputs(model, x)
    freeze(model).predict(x, verbose=0)
    assert np.array_equal(outputs(model, x), wanted)


@SORTS
def test_no_raw_weights_are_left(models, sort):
    model, _ = models(sort)
    frozen = freeze(model)
    assert frozen.trainable_variables == []
    assert is_frozen(frozen)
    pairs = list(zip(quantized_layers(model), quantized_layers(frozen), strict=True))
    assert len(pairs) >= 2
    for source, copy in pairs:
        assert getattr(copy, "kernel", None) is None
        assert getattr(copy, "bias", None) is None
        held = {variable.name: numpy_of(variable) for variable in copy.variables}
        wanted = {name: numpy_of(value) for name, value in source.constants().items()}
        raw = numpy_of(source.kernel)
        assert set(wanted) <= set(held)
        for name, value in wanted.items():
            assert np.array_equal(held[name], value)
        assert not np.array_equal(held["kernel"], raw)


def quantized_layers(model):
    return [layer for layer in layers_of(model) if isinstance(layer, QLayer)]


def test_nothing_in_the_file_is_a_raw_weight(models, tmp_path):
    model, _ = models("chain")
    freeze(model).save(tmp_path / "frozen.keras")
    found = []
    with zipfile.ZipFile(tmp_path / "frozen.keras") as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(lambda name, item: found.append(np.asarray(item)) if isinstance(item, h5py.Dataset) else None)
    raw = [numpy_of(weight) for layer in model.layers for weight in (layer.kernel, layer.bias)]
    constants = [numpy_of(value) for layer in model.layers for value in layer.constants().values()]

    def holds(value):
        return any(item.shape == value.shape and np.array_equal(item, value) for item in found)

    assert [holds(value) for value in raw] == [False] * 4
    assert [holds(value) for value in constants] == [True] * 4


@SORTS
def test_costs_are_the_same(models, sort):
    model, _ = models(sort)
    assert ebops(freeze(model)) == ebops(model) > 0


def test_the_cost_of_biases_that_wrap_is_the_same(samples):
    model = keras.Sequential([keras.Input((4,)), QDense(3, bias_quantizer=KIF(f=4, overflow_mode="WRAP"))])
    model.layers[0].bias.assign([0.7, -3.0, 0.0])
    calibrate(model, samples())
    assert ebops(freeze(model)) == ebops(model)


def test_a_frozen_model_adds_no_cost_to_the_loss(models):
    model, x = models("chain")
    frozen = freeze(model)
    frozen(x)
    assert sum(float(numpy_of(loss)) for loss in frozen.losses) == 0.0


@SORTS
def test_freezing_twice_changes_nothing(models, sort):
    model, _ = models(sort)
    frozen = freeze(model)
    assert freeze(frozen) is frozen


@SORTS
def test_the_calibration_goes_along(models, sort):
    model, x = models(sort)
    calibrate(model, x, margin=1)
    frozen = freeze(model)
    require_calibrated(frozen, "test")
    assert read_record(frozen) == (256, 1)


def test_a_frozen_model_verifies(models):
    model, x = models("chain")
    assert verify(freeze(model), x).ok


@SORTS
def test_saved_and_loaded_here(models, sort, tmp_path):
    model, x = models(sort)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    again = keras.saving.load_model(tmp_path / "frozen.keras")
    assert is_frozen(again)
    assert np.array_equal(outputs(again, x), outputs(model, x))
    assert ebops(again) == ebops(model)
    require_calibrated(again, "test")
    assert freeze(again) is again


@pytest.mark.slow
def test_saved_and_loaded_in_a_fresh_process(models, fresh_python, tmp_path):
    for sort in ("chain", "nested"):
        model, x = models(sort)
        freeze(model).save(tmp_path / f"{sort}.keras")
        np.save(tmp_path / f"{sort}_x.npy", x)
        np.save(tmp_path / f"{sort}_y.npy", model.predict(x, verbose=0))
    found = fresh_python(
        """
        import hgq2_core
        import keras, numpy, json

        result = {}
        for sort in ("chain", "nested"):
            model = keras.saving.load_model(f"{sort}.keras")
            y = model.predict(numpy.load(f"{sort}_x.npy"), verbose=0)
            same = numpy.load(f"{sort}_y.npy").view("u4").tolist() == y.view("u4").tolist()
            result[sort] = [same, hgq2_core.ebops(model), hgq2_core.freeze(model) is model]
        print(json.dumps(result))
        """
    )
    assert found == {sort: [True, ebops(models(sort)[0]), True] for sort in ("chain", "nested")}


def test_a_layer_applied_twice_stays_one_layer(samples):
    shared = QDense(4, name="shared")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, shared(shared(inputs)))
    calibrate(model, samples())
    frozen = freeze(model)
    assert len(quantized_layers(frozen)) == 1
    assert np.array_equal(outputs(frozen, samples()), outputs(model, samples()))
    assert ebops(frozen) == ebops(model)


@pytest.mark.parametrize("use_bias", [True, False])
def test_wrapping_weights_are_constants_too(samples, use_bias):
    config = KBI(b=4, i=0, overflow_mode="WRAP", i_bounds=(-8, 0))
    model = keras.Sequential([keras.Input((4,)), QDense(3, use_bias=use_bias, kernel_quantizer=config)])
    model.layers[0].kernel.assign(np.random.default_rng(0).normal(size=(4, 3)) * 3)
    calibrate(model, samples())
    assert np.array_equal(outputs(freeze(model), samples()), outputs(model, samples()))


def test_a_subclass_in_no_plugin_freezes(samples):
    class Mine(QDense):
        pass

    model = keras.Sequential([keras.Input((4,)), Mine(3)])
    calibrate(model, samples())
    frozen = freeze(model)
    assert type(frozen.layers[0]) is Mine
    assert np.array_equal(outputs(frozen, samples()), outputs(model, samples()))


def test_subclassed_models_are_refused(samples):
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = QDense(2)

        def call(self, x):
            return self.dense(x)

    model = Own()
    calibrate_after_build(model, samples())
    with pytest.raises(ExactnessError, match=r"own \(Own\).*functional or sequential"):
        freeze(model)


def calibrate_after_build(model, x):
    model(x)
    calibrate(model, x)


def test_only_a_new_layer_can_be_frozen():
    layer = QDense(2, name="built")
    layer.build((None, 4))
    with pytest.raises(ConfigError, match=r"built.*hgq2_core\.freeze"):
        layer.freeze({"kernel": (4, 2)})


def test_a_layer_around_a_quantized_one_freezes(samples):
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, keras.layers.TimeDistributed(QDense(2, name="inner"), name="each")(inputs))
    x = samples(64, 3, 4)
    calibrate(model, x)
    frozen = freeze(model)
    assert is_frozen(frozen)
    assert np.array_equal(outputs(frozen, x), outputs(model, x))


def test_is_frozen_of_a_model_without_quantized_layers():
    assert is_frozen(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))


@pytest.mark.backends
def test_a_frozen_model_outlives_a_prediction_of_its_source(chain, samples):
    """On jax, predict() gives the memory of a model's variables away."""
    model, x = chain(), samples(64, 4)
    calibrate(model, x)
    frozen = freeze(model)
    wanted = model.predict(x, verbose=0)
    assert np.array_equal(frozen.predict(x, verbose=0), wanted)
