"""Operations on tensors in functional graphs: exact as Keras computes them, with the cost of the bits in front."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import (
    ConfigError,
    ModelConfig,
    calibrate,
    doctor,
    ebops,
    fit_ranges,
    load_model,
    quantize_model,
    summary,
    unsupported_layers,
    verify,
    with_operation_layers,
)
from hgq2_core.layers.operations import operation_names
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense, QOperation, QQuantize

ops, layers = keras.ops, keras.layers

ON_TORCH = keras.backend.backend() == "torch"

MATRIX = np.array([[0.5, 1.0], [-2.0, 0.25], [1.0, 3.0]], np.float32)
ROW = np.array([0.5, -1.0, 3.0], np.float32)

CALLS = {
    "absolute": lambda x, y: ops.abs(x),
    "add": lambda x, y: 0.5 + (x + y) + ROW,
    "any": lambda x, y: ops.where(ops.any(x > 0.5, axis=-1, keepdims=True), x, y),
    "cast": lambda x, y: ops.where(ops.cast(x > y, "float32") > 0.5, x, y),
    "clip": lambda x, y: ops.clip(x, -0.75, 0.3125),
    "concatenate": lambda x, y: ops.concatenate([x, y, x], axis=-1),
    "copy": lambda x, y: ops.copy(x),
    "divide": lambda x, y: ops.divide(x, -4),
    "dot": lambda x, y: ops.dot(x, MATRIX),
    "einsum": lambda x, y: ops.einsum("bij,bkj->bki", x, y),
    "equal": lambda x, y: ops.where(ops.equal(x, y), x, 2.0),
    "expand_dims": lambda x, y: ops.expand_dims(x, (1, -1)),
    "flip": lambda x, y: ops.flip(x, axis=(1, 2)),
    "get_item": lambda x, y: x[:, ::1, None, 1] + y[..., 1:2],
    "greater": lambda x, y: ops.where(x > 0.5, x, y),
    "greater_equal": lambda x, y: ops.where(x >= y, 1.0, y),
    "less": lambda x, y: ops.where(x < y, x, -y),
    "less_equal": lambda x, y: ops.where(x <= 0, x, y),
    "logical_and": lambda x, y: ops.where(ops.logical_and(x > 0, y > 0), x, y),
    "logical_not": lambda x, y: ops.where(ops.logical_not(x > 0), x, y),
    "logical_or": lambda x, y: ops.where(ops.logical_or(x > 0, y > 0), x, y),
    "matmul": lambda x, y: ops.matmul(x, ops.transpose(y, (0, 2, 1))) @ np.ones((2, 3), np.float32),
    "max": lambda x, y: ops.max(x, axis=1, keepdims=True),
    "maximum": lambda x, y: ops.maximum(ops.maximum(x, y), -0.5),
    "mean": lambda x, y: ops.mean(ops.stack([x, y], axis=1), axis=1),
    "min": lambda x, y: ops.min(x, axis=(1, 2)),
    "minimum": lambda x, y: ops.minimum(x, ROW),
    "moveaxis": lambda x, y: ops.moveaxis(x, 1, -1),
    "multiply": lambda x, y: 0.75 * (x * y),
    "negative": lambda x, y: -x,
    "not_equal": lambda x, y: ops.where(ops.not_equal(x, y), x, 2.0),
    "pad": lambda x, y: ops.pad(x, ((0, 0), (1, 0), (1, 2))) + ops.pad(y, [[0, 0], [0, 1], [2, 1]]),
    "relu": lambda x, y: ops.relu(x),
    "relu6": lambda x, y: ops.relu6(x + 5.0),
    "repeat": lambda x, y: ops.repeat(x, 2, axis=2),
    "reshape": lambda x, y: ops.reshape(x, (-1, 3, 2)),
    "roll": lambda x, y: ops.roll(x, 1, axis=2),
    "split": lambda x, y: ops.split(x, [1], axis=2)[1] + ops.split(y, 3, axis=2)[0],
    "square": lambda x, y: ops.square(x),
    "squeeze": lambda x, y: ops.squeeze(x[:, :1], 1),
    "stack": lambda x, y: ops.stack([x, y], axis=-1),
    "stop_gradient": lambda x, y: ops.stop_gradient(x),
    "subtract": lambda x, y: 1 - (x - y),
    "sum": lambda x, y: ops.sum(x, axis=(1, 2)),
    "swapaxes": lambda x, y: ops.swapaxes(x, 1, 2),
    "take": lambda x, y: ops.take(x, [2, 0, -1], axis=2),
    "tile": lambda x, y: ops.tile(x, (1, 2, 1)),
    "transpose": lambda x, y: ops.transpose(x, (0, 2, 1)),
    "true_divide": lambda x, y: x / 2,
    "unstack": lambda x, y: ops.unstack(x, axis=1)[1],
    "where": lambda x, y: ops.where(x > y, x, 0.0),
}  # fmt: skip
"""A call of each operation that is adapted, on two tensors of 2 × 3."""

GRID = KIF(k=1, i=2, f=3, overflow_mode="SAT_SYM", granularity="tensor", i_regularizer=0.0, f_regularizer=0.0)
FINE = GRID.changed(f=5)


def test_every_operation_is_called_here():
    assert set(CALLS) == set(operation_names())


def graph(call):
    inputs = [keras.Input((2, 3), name="x"), keras.Input((2, 3), name="y")]
    return keras.Model(inputs, call(*(QQuantize(GRID)(each) for each in inputs)))


def values(samples=64):
    return [np.random.default_rng(n).normal(size=(samples, 2, 3)).astype(np.float32) * 3 for n in (0, 1)]


@pytest.mark.parametrize("name", CALLS)
def test_it_is_exact_in_the_graph_and_as_a_layer(name):
    model = graph(CALLS[name])
    assert not unsupported_layers(model)
    assert verify(model, values()).mismatches == 0
    converted = with_operation_layers(model)
    assert verify(converted, values()).mismatches == 0
    assert np.array_equal(*(each.predict(values(), verbose=0) for each in (model, converted)))
    kinds = {row.kind for row in summary(converted).layers}
    assert kinds == {"layers.quantize", "layers.operation"}
    assert ebops(converted) == pytest.approx(ebops(model))


def cost(call, first=GRID, second=FINE, shape=(1, 2)):
    x, y = keras.Input(shape), keras.Input(shape)
    model = keras.Model([x, y], call(QQuantize(first)(x), QQuantize(second)(y)))
    return ebops(with_operation_layers(model))


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "wanted"),
    [  # two elements of 5 bits (x) and of 7 bits (y)
        (lambda x, y: x + y, 0.65 * (2 * (5 + 7) - 2 * 5)),
        (lambda x, y: (x + y) + x, 0.65 * 2 * 7 + 0.65 * 2 * 8),
        (lambda x, y: x - y, 2 * 7),
        (lambda x, y: x * y, 2 * 5 * 7),
        (lambda x, y: (x * y) + x, 2 * 5 * 7 + 0.65 * 2 * 12),
        (lambda x, y: x * 0.25, 0),
        (lambda x, y: x * 3, 2 * 5 * 1),
        (lambda x, y: x + 3, 0.65 * 2 * 5),
        (lambda x, y: ops.maximum(x, y), 2 * 7),
        (lambda x, y: ops.maximum(x, 0.0), 0),
        (lambda x, y: ops.clip(x, -1.0, 0.625), 2 * 5),
        (lambda x, y: ops.clip(x, -4.0, 3.75), 0),
        (lambda x, y: ops.abs(x), 2 * 5),
        (lambda x, y: ops.abs(ops.relu(x)), 0),
        (lambda x, y: ops.where(x < y, x, y), 2 * 7),
        (lambda x, y: ops.where(x > 0, x, y) + x, 0.65 * 2 * 7),
        (lambda x, y: ops.sum(x, axis=-1), 0.65 * 5),
        (lambda x, y: ops.sum(x, axis=-1) + ops.max(y, axis=-1), 0.65 * 5 + 7 + 0.65 * 7),
        (lambda x, y: ops.max(y, axis=-1), 7),
        (lambda x, y: ops.einsum("bij,bkj->bik", x, y), 2 * 5 * 7),
        (lambda x, y: ops.einsum("bij,bkj,bkj->bik", x, y, y), 2 * 5 * 7 * 7),
        (lambda x, y: ops.einsum("bij,bkj->bik", x, y) + 0.5, 2 * 5 * 7 + 0.65 * (12 + 1)),
        (lambda x, y: x @ np.array([[3.0], [0.5]], np.float32), 5 * 1 + 5 * 0),
        (lambda x, y: ops.concatenate([x, y], -1)[..., 1:3] + x, 0.65 * (5 + 7)),
        (lambda x, y: ops.transpose(ops.flip(x, 1), (0, 2, 1)), 0),
    ],
)  # fmt: skip
def test_it_costs_what_its_inputs_have_of_bits(call, wanted):
    assert cost(call) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.once
def test_an_einsum_of_three_is_exact():
    inputs = keras.Input((2, 3)), keras.Input((3, 4)), keras.Input((4,))
    x, y, z = (QQuantize(GRID)(each) for each in inputs)
    model = with_operation_layers(keras.Model(inputs, ops.einsum("bij,bjk,bk->bi", x, y, z)))
    rng = np.random.default_rng(5)
    data = [rng.normal(size=(64, *each.shape[1:])).astype("float32") for each in inputs]
    calibrate(model, data)
    assert verify(model, data).ok


@pytest.mark.once
def test_behind_a_layer_without_output_quantizer_a_sum_has_the_bits_of_its_products_and_terms():
    kernel, bias = (KBI(b=3, i=0, overflow_mode="SAT_SYM") for _ in range(2))
    x = keras.Input((3,))
    hidden = QQuantize(GRID, name="quantize")(x)
    dense = QDense(2, input_quantizer=GRID, kernel_quantizer=kernel, bias_quantizer=bias, name="dense")
    model = with_operation_layers(keras.Model(x, dense(hidden) + dense(hidden)))
    (found,) = (row.ebops for row in summary(model).layers if row.kind == "layers.operation")
    # Products of 5 and 3 bits, three of them and a bias: 8 + log2(4).
    assert found == pytest.approx(0.65 * 2 * 10)


def test_the_bits_in_front_are_trained_to_what_an_operation_costs():
    x = keras.Input((2,))
    quantize = QQuantize(GRID.changed(granularity="element"))
    model = with_operation_layers(keras.Model(x, quantize(x) * quantize(x)))
    (layer,) = (each for each in model.layers if isinstance(each, QOperation))
    layer.ebops_beta.assign(0.5)
    before = [keras.ops.convert_to_numpy(each).copy() for each in quantize.trainable_variables]
    model.compile(keras.optimizers.SGD(0.01), loss=lambda y, p: 0.0 * keras.ops.mean(p))
    model.fit(values()[0][:, 0, :2], np.zeros((64, 2)), batch_size=64, verbose=0)
    after = [keras.ops.convert_to_numpy(each) for each in quantize.trainable_variables]
    # The gradient of 0.5 · 5 · 5 in a width of 5 is 5, for i as for f.
    assert all(np.allclose(a, b - 0.01 * 5.0, atol=1e-5) for a, b in zip(after, before, strict=True))


@pytest.mark.once
def test_a_skip_written_with_plus_is_converted_trained_verified_and_saved(tmp_path):
    x = keras.Input((4,))
    hidden = layers.Dense(4, activation="relu")(x)
    outputs = layers.Dense(2)(ops.mean(ops.stack([hidden + layers.Dense(4)(hidden), x, hidden], 1), axis=1))
    model = quantize_model(keras.Model(x, outputs))
    data = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    model.compile("sgd", "mse")
    model.fit(data, np.zeros((64, 2)), verbose=0)
    calibrate(model, data)
    assert verify(model, data * 2).mismatches == 0
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))
    assert ebops(loaded) == ebops(model)


@pytest.mark.once
def test_a_mean_of_other_than_a_power_of_two_of_values_needs_a_quantizer():
    with pytest.raises(ConfigError) as caught:
        QOperation("mean", {"axis": 1}, name="m").build((None, 3))
    assert str(caught.value) == (
        "m: an average of 3 values is exact once its reciprocal is quantized. Received: reciprocal_quantizer=None. "
        "Allowed: a quantizer of weights, such as 'kbi', or a mean of a power of two of values."
    )


@pytest.mark.parametrize(("values", "constants"), [(3, {"reciprocal"}), (4, set())])
def test_the_reciprocal_is_a_constant_where_it_is_no_power_of_two(values, constants):
    layer = QOperation("mean", {"axis": 1}, reciprocal_quantizer=KBI(b=3, i=0))
    outputs = layer(np.array([[*range(values)]], np.float32))
    assert set(layer.constants()) == constants
    # 2/3 in steps of 1/8 is 5/8: 3 · 5/8 · 1/2. Of four values: 6/4.
    assert keras.ops.convert_to_numpy(outputs).tolist() == [{3: 0.9375, 4: 1.5}[values]]


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: ops.sigmoid(x),
            "with_operation_layers: sigmoid: keras.ops.sigmoid, an operation on tensors, has no exact ",
        ),
        (lambda x: x / x, "with_operation_layers: true_divide: a quotient is exact where the divisor "),
        (lambda x: x * 0.1, "with_operation_layers: multiply: a constant factor has at most 16 "),
        (lambda x: x[:1, :], "with_operation_layers: get_item: what is cut of a sample is known beforehand, "),
        (lambda x: ops.sum(x), "with_operation_layers: sum: an operation within a sample names axes, "),
        (lambda x: ops.reshape(x, (-1,)), "with_operation_layers: reshape: the batch stays the first axis. "),
    ],
)  # fmt: skip
def test_what_has_no_exact_arithmetic_is_refused_before_training(call, message):
    x = keras.Input((3,))
    hidden = QQuantize(GRID)(x)
    result = call(hidden)
    name = result._keras_history.operation.name
    model = keras.Model(x, result)
    with pytest.raises(ConfigError) as caught:
        with_operation_layers(model)
    assert str(caught.value).replace(f": {name}: ", f": {message.split(': ')[1]}: ").startswith(message)
    assert [each.layer for each in unsupported_layers(model)] == [name]


@pytest.mark.once
def test_doctor_says_that_training_does_not_see_an_operation_in_a_graph():
    x = keras.Input((2,))
    hidden = QQuantize(GRID)(x)
    model = keras.Model(x, hidden * hidden)
    (found,) = (each for each in doctor(model, values()[0][:, 0, :2]).findings if each.check.name == "uncounted")
    assert found.seen.startswith("operations on tensors cost 50 EBOPs, which training does not see: multiply")
    converted = with_operation_layers(model)
    assert all(each.check.name != "uncounted" for each in doctor(converted, values()[0][:, 0, :2]).findings)


@pytest.mark.once
def test_a_slot_with_none_counts_the_bits_that_it_passes():
    kernel = KBI(b=3, i=0, overflow_mode="SAT_SYM")
    x = keras.Input((3,))
    bare = {"use_bias": False, "input_quantizer": "none", "kernel_quantizer": kernel}
    assert ebops(keras.Model(x, QDense(2, **bare)(QQuantize(GRID)(x)))) == 2 * 3 * 5 * 3
    assert ebops(keras.Model(x, QDense(2, **bare)(x))) == 2 * 3 * 32 * 3  # a raw float32
    constant = {"kernel_quantizer": "none", "kernel_initializer": keras.initializers.Constant(0.625)}
    assert ebops(keras.Model(x, QDense(2, use_bias=False, input_quantizer=GRID, **constant)(x))) == 2 * 3 * 5 * 2


@pytest.mark.once
def test_an_operation_stands_in_a_config():
    section = {
        "inputs": {"x": {"shape": [2, 3]}},
        "layers": [
            {"kind": "quantize", "name": "q"},
            {"kind": "operation", "name": "cut", "function": "get_item", "operands": ["input", "[:, 1, ::2]"]},
            {"kind": "operation", "name": "half", "function": "multiply", "operands": ["input", 0.5]},
            {"kind": "operation", "name": "sum", "function": "add", "inputs": ["cut", "half"]},
        ],
    }
    model = ModelConfig.model_validate({"model": section}).build()
    calibrate(model, values()[0])
    assert verify(model, values()[0]).mismatches == 0
    section["layers"][2]["operands"] = ["input", 0.1]
    with pytest.raises(ConfigError, match="half: a constant factor has at most 16 significant bits"):
        ModelConfig.model_validate({"model": section}).build()


def test_a_factor_with_all_the_bits_of_a_float_is_rounded_by_conversion():
    x = keras.Input((3,), name="x")
    model = keras.Model(x, QQuantize(GRID)(x) * 0.1 + 0.5)
    converted = quantize_model(model)
    assert [each.operands for each in converted.layers if isinstance(each, QOperation)] == [
        ["input", 3277 / 32768],
        ["input", 0.5],
    ]
    data = values()[0][:, 0]
    calibrate(converted, data)
    assert verify(converted, data).ok


@pytest.mark.parametrize(
    ("call", "kind", "arguments"),
    [
        (ops.sigmoid, "QUnaryFunction", {"activation": keras.activations.sigmoid}),
        (keras.activations.gelu, "QUnaryFunction", {"activation": keras.activations.gelu}),
        (lambda x: ops.softmax(x, axis=1), "QSoftmax", {"axis": 1}),
        (lambda x: ops.leaky_relu(x, 0.3), "QLeakyReLU", {"negative_slope": 0.3}),
    ],
)
def test_an_activation_that_is_applied_as_an_operation_is_converted_as_its_layer(call, kind, arguments):
    x = keras.Input((2, 3), name="x")
    model = keras.Model(x, call(keras.layers.Dense(3, name="first")(x)))
    converted = quantize_model(model)
    layer = converted.layers[-1]
    assert type(layer).__name__ == kind
    assert {name: getattr(layer, name) for name in arguments} == arguments
    data = values()[0]
    fit_ranges(converted, data)
    calibrate(converted, data)
    assert verify(converted, data).ok
    found, wanted = converted.predict(data, verbose=0), model.predict(data, verbose=0)
    assert np.abs(found - wanted).max() < 0.05 * max(np.abs(wanted).max(), 2.0)  # of 8 bits, with one range for all


def test_a_constant_that_rounding_makes_0_is_told():
    x = keras.Input((3,))
    model = keras.Model(x, x * np.array([1000.0, 0.1, 1.0], "float32"))
    with pytest.warns(UserWarning, match=r"12 bits of the largest .*, so that 1 of 3 become 0, such as 0\.1\. Use"):
        quantize_model(model)
