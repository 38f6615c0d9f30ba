"""`quantize_model`: plain Keras models become quantized ones, their weights kept."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from keras import layers
from plain_models import UNQUANTIZED, plain_model, recurrent_model, sequential, values

from hgq2_core import calibrate, defaults, fit_ranges, load_model, quantize_model, summary, verify
from hgq2_layers import QDense, QDenseBatchNorm, QEinsumDense
from hgq2_training.runs.convert import ConversionConfig


def test_the_same_function_of_quantized_layers():
    model, x = plain_model(), values(64, 4)
    before = [numpy_of(weight) for weight in model.weights]
    with defaults(**UNQUANTIZED):
        converted = quantize_model(model)
    np.testing.assert_allclose(numpy_of(converted(x)), numpy_of(model(x)), rtol=1e-5, atol=1e-5)
    kinds = {layer.name: type(layer) for layer in [*converted.layers, *converted.get_layer("inner").layers]}
    assert (kinds["first"], kinds["shared"], kinds["dense"]) == (QDense, QDense, QDenseBatchNorm)
    assert (kinds["norm"], kinds["einsum"]) == (layers.Activation, QEinsumDense)
    assert (kinds["relu"], kinds["drop"]) == (layers.ReLU, layers.Dropout)
    fused = converted.get_layer("inner").get_layer("dense")
    assert (fused.epsilon, fused.momentum) == (0.25, 0.5)
    assert converted.get_layer("shared").kernel_regularizer.get_config() == keras.regularizers.L2().get_config()
    assert (converted.name, converted.get_layer("drop").rate) == ("outer", 0.25)
    # The old model is as it was, and shares nothing with the new one.
    converted.get_layer("first").kernel.assign(np.zeros((4, 6)))
    assert all(np.array_equal(a, numpy_of(b)) for a, b in zip(before, model.weights, strict=True))


def test_a_converted_model_trains_is_saved_and_verified(tmp_path):
    model, x = quantize_model(plain_model()), values(64, 4)
    model.compile("adam", "mse")
    model.fit(x, values(64, 2, 2), epochs=1, verbose=0)
    calibrate(model, x)
    assert verify(model, x).mismatches == 0
    model.save(tmp_path / "model.keras")
    assert np.array_equal(load_model(tmp_path / "model.keras").predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.LSTM(3, return_sequences=True),
        lambda: layers.GRU(3, reset_after=False),
        lambda: layers.SimpleRNN(3, "relu", use_bias=False, go_backwards=True),
        lambda: layers.TimeDistributed(layers.Dense(3), name="each"),
        lambda: layers.Bidirectional(layers.GRU(3), merge_mode="sum", name="both"),
    ],
)
def test_layers_of_sequences_and_those_inside_them(make):
    keras.utils.set_random_seed(1)
    model, x = keras.Sequential([keras.Input((4, 2)), make()]), values(64, 4, 2)
    converted = quantize_model(model)
    fit_ranges(converted, x)
    calibrate(converted, x)
    assert verify(converted, x).mismatches == 0
    got, wanted = numpy_of(converted(x)), numpy_of(model(x))
    assert 0 < np.abs(got - wanted).mean() < 0.05 * wanted.std()


def test_a_layer_can_be_left_in_floats():
    model = sequential(layers.Dense(3, name="a"), layers.LayerNormalization(name="norm"))
    model.layers[1].gamma.assign([1.0, 2.0, 3.0])
    converted = quantize_model(model, {"norm": {"kind": "keras.LayerNormalization"}})
    assert [type(layer) for layer in converted.layers] == [QDense, layers.LayerNormalization]
    assert numpy_of(converted.layers[1].gamma).tolist() == [1.0, 2.0, 3.0]


def test_quantized_layers_stay():
    model = sequential(QDense(3, name="a", kernel_quantizer={"kind": "kbi", "b": 3}), layers.Dense(2, name="b"))
    converted = quantize_model(model)
    assert converted.layers[0].kernel_quantizer.config.b == 3
    assert np.array_equal(numpy_of(converted.layers[0].kernel), numpy_of(model.layers[0].kernel))


def tabled_model():
    """Activations that need a table: in a sequential model that is applied twice, of its own, and at the output."""
    keras.utils.set_random_seed(5)
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, "tanh", name="dense")], name="inner")
    inputs = keras.Input((4,))
    x = layers.Activation("sigmoid", name="squashed")(inner(inner(inputs)))
    x = layers.Add(name="sum")([x, layers.Dense(4, "relu", name="rectified")(inputs)])
    return keras.Model(inputs, layers.Dense(3, "softmax", name="out")(x), name="outer")


def test_an_activation_that_needs_a_table_becomes_a_layer_behind():
    model, x = tabled_model(), values(256, 4)
    before = [layer.name for layer in model.layers]
    converted = quantize_model(model, {"*_activation": {"input_quantizer": {"kind": "kbi", "b": 9}}}, bits=12)
    kinds = {row.name: row.kind for row in summary(converted).layers}
    assert kinds == {
        "inner/dense": "layers.dense",
        "inner/dense_activation": "layers.unary_function",
        "squashed": "layers.unary_function",
        "rectified": "layers.dense",
        "sum": "layers.add",
        "out": "layers.dense",
        "out_activation": "attention.softmax",
    }
    calibrate(converted, x)
    np.testing.assert_allclose(numpy_of(converted(x)), numpy_of(model(x)), atol=0.01)
    assert verify(converted, x).mismatches == 0
    assert [layer.name for layer in model.layers] == before  # the model itself is as it was


def test_outputs_by_name_keep_their_weights():
    keras.utils.set_random_seed(6)
    inputs = keras.Input((4,))
    outputs = {"z": layers.Dense(3, "tanh", name="z")(inputs), "a": layers.Dense(1, name="a")(inputs)}
    model, x = keras.Model(inputs, outputs), values(64, 4)
    converted = quantize_model(model, bits=12)
    calibrate(converted, x)
    for name, wanted in model(x).items():
        np.testing.assert_allclose(numpy_of(converted(x)[name]), numpy_of(wanted), atol=0.01)


def test_losses_by_the_name_of_an_output_find_the_converted_one():
    inputs = keras.Input((4,))
    outputs = [layers.Dense(3, "softmax", name="z")(inputs), layers.Dense(1, name="a")(inputs)]
    model, x = keras.Model(inputs, outputs), values(64, 4)
    model.compile("adam", {"z": "sparse_categorical_crossentropy", "a": "mse"}, loss_weights={"z": 0.5, "a": 2.0})
    targets = [np.zeros(64, "int32"), np.ones((64, 1), "float32")]
    model.fit(x, targets, verbose=0)
    converted = ConversionConfig.parse({"bits": 12}).convert(model)
    calibrate(converted, x)
    np.testing.assert_allclose(
        converted.evaluate(x, targets, verbose=0)[1:], model.evaluate(x, targets, verbose=0)[1:], rtol=0.02
    )


def test_layers_that_conversion_adds_take_no_name_of_the_user():
    x = keras.Input((4,), name="x")
    hidden = layers.Dense(4, activation="tanh", name="a")(x)
    out = layers.Dense(4, name="x_quantize")(layers.Dense(4, name="a_activation")(hidden))
    converted = quantize_model(keras.Model(x, out + x))
    added = [layer.name for layer in converted.layers if layer.name.endswith("_2")]
    assert added == ["a_activation_2", "x_quantize_2"]


def test_a_layer_that_stays_keeps_its_activation():
    converted = quantize_model(sequential(layers.Dense(3, "tanh", name="a")), {"a": {"kind": "keras.Dense"}})
    assert [layer.activation.__name__ for layer in converted.layers] == ["tanh"]


def test_raw_inputs_and_wide_factors_are_quantized_before_an_operation():
    inputs = keras.Input((4,), name="x")
    first, second = (layers.Dense(4, name=name)(inputs) for name in ("a", "b"))
    model = quantize_model(keras.Model(inputs, (inputs + first) * second))
    added = [layer.name for layer in model.layers if layer.name.endswith("_quantize")]
    assert {"x_quantize", "b_quantize"} < set(added)
    assert len(added) == 3  # and of the sum


def spatial_model():
    keras.utils.set_random_seed(8)
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2DTranspose(3, 2, strides=2, activation="swish", name="up")(inputs)
    x = layers.LeakyReLU(0.3, name="leaky")(x)
    x = layers.AveragePooling2D(3, name="thirds")(x)
    x = layers.PReLU(shared_axes=(1, 2), name="prelu")(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="all")(x))


def attention_model():
    keras.utils.set_random_seed(9)
    inputs = keras.Input((6, 8))
    x = layers.Add(name="sum")([inputs, layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)])
    x = layers.GroupQueryAttention(4, 4, 2, use_bias=False, name="grouped")(x, x)
    return keras.Model(inputs, layers.GlobalAveragePooling1D(name="mean")(x))


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (
            recurrent_model,
            {
                "both": "keras.Bidirectional",
                "both/forward_lstm": "layers.lstm",
                "both/backward_lstm": "layers.lstm",
                "steps": "keras.TimeDistributed",
                "steps/dense": "layers.dense",
                "steps_activation": "layers.unary_function",
                "gru": "layers.gru",
                "out": "layers.dense",
            },
        ),
        (
            spatial_model,
            {
                "up": "layers.conv2d_transpose",
                "up_activation": "layers.unary_function",
                "leaky": "layers.leaky_relu",
                "thirds": "layers.average_pooling2d",
                "prelu": "layers.prelu",
                "all": "layers.global_average_pooling2d",
            },
        ),
        (
            attention_model,
            {
                "attention": "attention.multi_head_attention",
                "attention/query": "Projection",
                "attention/key": "Projection",
                "attention/value": "Projection",
                "attention/softmax": "attention.softmax",
                "attention/attention_output": "Projection",
                "sum": "layers.add",
                "grouped": "attention.grouped_query_attention",
                "grouped/query": "Projection",
                "grouped/key": "Projection",
                "grouped/value": "Projection",
                "grouped/softmax": "attention.softmax",
                "grouped/attention_output": "Projection",
                "mean": "layers.global_average_pooling1d",
            },
        ),
    ],
    ids=["recurrent", "spatial", "attention"],
)
def test_every_family_of_layers_is_converted_with_its_weights(make, kinds):
    model = make()
    x = values(200, *model.input_shape[1:])
    converted = quantize_model(model, bits=12)
    assert {row.name: row.kind for row in summary(converted).layers} == kinds
    fit_ranges(converted, x)
    calibrate(converted, x)
    assert verify(converted, x).mismatches == 0
    wanted = numpy_of(model(x))
    assert np.abs(numpy_of(converted(x)) - wanted).mean() < 0.02 * wanted.std()
