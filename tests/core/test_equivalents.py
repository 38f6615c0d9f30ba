"""Operations without exact arithmetic of their own: `quantize_model` computes them by others, tables or layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from selection import few

from hgq2_core import ConfigError, calibrate, fit_ranges, load_model, quantize_model, verify
from hgq2_core.convert.equivalents import EXPRESSIONS, FUNCTIONS, OF_THEIR_OWN, POOLING
from hgq2_core.layers.operations import is_operation, operation_names
from hgq2_core.schema.keras_layers import CONVERTED_OPERATIONS
from hgq2_layers.activations import functions

layers, ops = keras.layers, keras.ops
LINE, IMAGE = (6,), (4, 4, 2)


def plain(function, shape=LINE):
    keras.utils.set_random_seed(3)
    x = keras.Input(shape, name="x")
    h = layers.Dense(6, name="front")(x) if shape == LINE else layers.Conv2D(3, 1, name="front")(x)
    return keras.Model(x, function(h))


def converted(model, x):
    quantized = quantize_model(model)
    fit_ranges(quantized, x)
    calibrate(quantized, x)
    return quantized


ON_LINES = {
    "square": lambda h: h**2,
    "cube": lambda h: h**3,
    "fourth": lambda h: ops.power(h, 4),
    "third": lambda h: h / 3,
    "by_array": lambda h: h / np.array([1, 2, 3, 4, 5, 6], np.float32),
    "inverse": lambda h: 1.0 / (ops.abs(h) + 1.0),
    "inverse_power": lambda h: (ops.abs(h) + 1.0) ** -1,
    "root_power": lambda h: ops.relu(h) ** 0.5,
    "share": lambda h: h / (ops.sum(ops.abs(h), axis=-1, keepdims=True) + 0.5),
    "gelu": ops.gelu,
    "gelu_erf": lambda h: ops.gelu(h, approximate=False),
    "exp": lambda h: ops.exp(-ops.abs(h)),
    "log": lambda h: ops.log(ops.square(h) + 0.5),
    "log1p": lambda h: ops.log1p(ops.relu(h)),
    "sqrt": lambda h: ops.sqrt(ops.relu(h)),
    "rsqrt": lambda h: h * ops.rsqrt(ops.square(h) + 0.25),
    "sin": ops.sin,
    "sign": ops.sign,
    "variance": lambda h: ops.var(h, axis=-1),
    "deviation": lambda h: h - ops.std(h, axis=-1, keepdims=True),
    "glu": ops.glu,
    "norm": lambda h: ops.norm(h, axis=-1, keepdims=True),
    "normalize": lambda h: ops.normalize(h),
}
ON_IMAGES = {
    "max_pool": lambda h: ops.max_pool(h, 2),
    "average_pool": lambda h: ops.average_pool(h, 3, strides=1, padding="same"),
    "moments": lambda h: ops.concatenate(ops.moments(h, axes=(1, 2)), axis=-1),
    "mean_and_deviation": lambda h: ops.concatenate([ops.mean(h, axis=(1, 2)), ops.std(h, axis=(1, 2))], axis=-1),
}
CASES = {name: (LINE, function) for name, function in ON_LINES.items()} | {
    name: (IMAGE, function) for name, function in ON_IMAGES.items()
}


@pytest.mark.parametrize("name", few(CASES, "square", "third", "sqrt", "share", "max_pool"))
def test_it_is_close_to_the_plain_model_exact_also_beyond_its_ranges_and_loads(name, tmp_path):
    shape, function = CASES[name]
    model = plain(function, shape)
    x = np.random.default_rng(0).normal(size=(300, *shape)).astype(np.float32)
    quantized = converted(model, x)
    wanted, outputs = (each.predict(x, verbose=0) for each in (model, quantized))
    assert np.abs(outputs - wanted).mean() < 0.1 * np.abs(wanted).mean()
    assert verify(quantized, x).mismatches == verify(quantized, 5 * x).mismatches == 0
    quantized.save(tmp_path / "model.keras")
    assert np.array_equal(load_model(tmp_path / "model.keras").predict(x, verbose=0), outputs)


def test_the_functions_that_become_tables_are_those_that_the_table_layer_knows():
    known = {functions.of_operation(getattr(ops, name)) for name in FUNCTIONS}
    assert known == set(functions.FUNCTIONS)


def test_a_file_may_hold_what_is_converted(tmp_path):
    allowed = {*CONVERTED_OPERATIONS, *operation_names(), *vars(keras.activations)}
    assert {*FUNCTIONS, *OF_THEIR_OWN, *POOLING, *EXPRESSIONS} <= allowed
    model = plain(lambda h: ops.sigmoid(ops.std(h, axis=-1)) + ops.sqrt(ops.square(h[:, 0])) ** 3)
    model.save(tmp_path / "plain.keras")
    x = np.ones((2, 6), np.float32)
    assert np.array_equal(load_model(tmp_path / "plain.keras").predict(x), model.predict(x))


@pytest.mark.parametrize("bits", [3, 4, 6])
def test_a_product_of_sums_stays_exact_where_training_makes_a_bias_fine(bits):
    model = plain(lambda h: h * ops.square(ops.relu(h)))
    x = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    quantized = quantize_model(model, bits=bits)
    fit_ranges(quantized, x)
    quantized.compile("adam", "mse")
    quantized.fit(x, model.predict(x, verbose=0), epochs=2, verbose=0)
    calibrate(quantized, x)
    assert verify(quantized, x).mismatches == verify(quantized, 5 * x).mismatches == 0


def test_what_computes_an_operation_is_named_after_it_and_takes_no_name_of_the_user():
    x = keras.Input(LINE, name="x")
    h = layers.Dense(6, name="true_divide_multiply")(x)
    quotient = ops.divide(h, 3)
    quotient._keras_history.operation.name = "true_divide"
    quantized = quantize_model(keras.Model(x, quotient))
    names = [layer.name for layer in quantized.layers]
    assert names[:2] == ["x", "true_divide_multiply"]
    assert names[-1] == "true_divide_multiply_2"


def test_a_training_keeps_finite_weights_where_a_root_is_of_nothing():
    model = plain(lambda h: ops.sqrt(ops.relu(h)) / (ops.relu(h) + 1e-4))
    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    quantized = quantize_model(model)
    fit_ranges(quantized, x)
    quantized.compile("sgd", "mse")
    quantized.fit(x, np.zeros((64, 6)), epochs=2, verbose=0)
    assert all(np.isfinite(weight).all() for weight in quantized.get_weights())


def test_the_plain_model_keeps_its_operations():
    model = plain(lambda h: ops.std(h, axis=-1))
    before = [each.name for each in model.operations]
    quantize_model(model)
    assert [each.name for each in model.operations] == before
    assert is_operation(model.operations[-1])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda h: h**2.5, "constant exponents 2, 3, 4, 0.5, -0.5 and -1"),
        (lambda h: ops.power(h, h), "constant exponents"),
        (lambda h: ops.reshape(h, (ops.shape(h)[0], -1)), r"Write -1 in place of keras.ops.shape\(x\)\[0\]"),
        (lambda h: ops.argmax(h, axis=-1), "what reads the outputs"),
        (lambda h: ops.norm(h, ord=1, axis=-1), "has no exact arithmetic"),
        (lambda h: ops.softmax(h + (1.0 - h) * -1e9), r"Softmax\(\)\(x, mask=mask\)"),
        (lambda h: h + ops.reshape(ops.cast(h > 0, "float32") * -1e9, (-1, 6)), r"Softmax\(\)\(x, mask=mask\)"),
        (lambda h: layers.Add()([h, (1.0 - h) * -1e9]), r"Softmax\(\)\(x, mask=mask\)"),
        (lambda h: ops.where(h > 0, h, -1e4), "just below those of the data, such as -16"),
        (lambda h: h / 0.0, "the divisor is a power of two"),
    ],
)
def test_others_are_refused_with_a_remedy(function, message):
    with pytest.raises(ConfigError, match=message):
        quantize_model(plain(function))


@pytest.mark.parametrize("function", [lambda h: h * -2e4, lambda h: h * -2e4 + 3.0], ids=["units", "units and offset"])
def test_a_product_with_a_large_negative_number_is_exact(function):
    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    plain_model = plain(function)
    quantized = converted(plain_model, x)
    assert verify(quantized, x).mismatches == 0
    expected = plain_model.predict(x, verbose=0)
    assert np.max(np.abs(quantized.predict(x, verbose=0) - expected)) < 0.05 * np.max(np.abs(expected))


def test_an_activation_in_two_wrappers_is_split_off_behind_them():
    x = keras.Input((2, 3, 4))
    inner = layers.TimeDistributed(layers.Dense(2, activation="tanh", name="dense"), name="inner")
    model = keras.Model(x, layers.TimeDistributed(inner, name="outer")(x))
    data = np.random.default_rng(0).normal(size=(20, 2, 3, 4)).astype(np.float32)
    quantized = converted(model, data)
    assert [layer.name for layer in quantized.layers][1:] == ["outer", "outer_activation"]
    assert verify(quantized, data).mismatches == 0


def _in_two_models():
    shared = layers.Dense(4, name="shared")
    first, second = (
        keras.Model(inputs := keras.Input((4,)), layers.Dense(4)(shared(inputs)), name=name) for name in ("a", "b")
    )
    x = keras.Input((4,))
    return keras.Model(x, first(x) + second(x))


def _in_a_model_and_beside_it():
    shared, inputs = layers.Dense(4, name="shared"), keras.Input((4,))
    inner = keras.Model(inputs, ops.relu(shared(inputs)), name="a")
    x = keras.Input((4,))
    return keras.Model(x, inner(x) + shared(x), name="b")


def _in_two_wrappers():
    shared, x = layers.Dense(4, name="shared"), keras.Input((3, 4))
    return keras.Model(x, sum(layers.TimeDistributed(shared, name=name)(x) for name in ("a", "b")))


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("make", [_in_two_models, _in_a_model_and_beside_it, _in_two_wrappers])
def test_a_layer_inside_two_models_is_refused_as_its_file_would_not_load(make, tmp_path):
    model = make()
    model.save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match="could not be loaded"):
        keras.models.load_model(tmp_path / "plain.keras")
    with pytest.raises(ConfigError, match=r"shared \(Dense\) is inside \w and inside \w.*several times"):
        quantize_model(model)
