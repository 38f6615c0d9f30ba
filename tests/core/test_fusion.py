"""`quantize_model` makes one layer of a convolution or Dense and the normalization behind, where it can."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
from arrays import numpy_of
from selection import one_in

from hgq2_core import ConfigError, calibrate, defaults, ebops, quantize_model, verify
from hgq2_core.layers.base import QLayer

layers = keras.layers
UNQUANTIZED = {"weight": "none", "bias": "none", "activation": "none"}


def values(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def moved(model):
    """Return a model whose weights and statistics are all uneven."""
    rng = np.random.default_rng(5)
    for variable in model.weights:
        variable.assign(0.5 + rng.random(size=tuple(variable.shape)))
    return model


def chain(shape, *inner):
    return moved(keras.Sequential([keras.Input(shape), *inner], name="model"))


def norm(**arguments):
    return layers.BatchNormalization(**{"name": "norm", **arguments})


def kinds(model):
    """Return the class of each layer by its name, also of those in nested models."""
    inside = [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]
    return {layer.name: type(layer).__name__ for layer in inside if isinstance(layer, QLayer)}


PRODUCTS = [
    (lambda: layers.Conv2D(3, 2, name="a"), (4, 4, 2), "QConv2DBatchNorm"),
    (lambda: layers.Dense(3, name="a"), (2, 4), "QDenseBatchNorm"),
    (lambda: layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d", name="a"), (2, 4), "QEinsumDenseBatchNorm"),
    (lambda: layers.Conv1D(3, 2, padding="causal", use_bias=False, name="a"), (4, 2), "QConv1DBatchNorm"),
    (lambda: layers.Conv3D(3, 2, name="a"), (2, 3, 2, 2), "QConv3DBatchNorm"),
    (lambda: layers.DepthwiseConv1D(2, depth_multiplier=2, name="a"), (4, 3), "QDepthwiseConv1DBatchNorm"),
    (lambda: layers.DepthwiseConv2D(2, depth_multiplier=2, name="a"), (4, 4, 3), "QDepthwiseConv2DBatchNorm"),
    (lambda: layers.Conv1DTranspose(3, 3, strides=2, name="a"), (4, 2), "QConv1DTransposeBatchNorm"),
    (lambda: layers.Conv2DTranspose(3, 3, strides=2, name="a"), (2, 2, 2), "QConv2DTransposeBatchNorm"),
    (lambda: layers.Conv3DTranspose(2, 2, strides=2, name="a"), (2, 1, 2, 2), "QConv3DTransposeBatchNorm"),
]


@pytest.mark.parametrize(("make", "shape", "kind"), [*one_in(6, PRODUCTS)])
def test_a_normalization_is_folded_into_the_layer_in_front(make, shape, kind):
    model = chain(shape, make(), norm(epsilon=0.25, momentum=0.5), layers.ReLU(name="relu"))
    x = values(64, *shape)
    with defaults(**UNQUANTIZED):
        converted = quantize_model(model)
    assert kinds(converted) == {"a": kind}
    np.testing.assert_allclose(numpy_of(converted(x)), numpy_of(model(x)), rtol=1e-5, atol=1e-5)
    for _ in range(2):  # the statistics of a batch, and then what they have moved
        trained, wanted = numpy_of(converted(x, training=True)), numpy_of(model(x, training=True))
        np.testing.assert_allclose(trained, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(numpy_of(converted(x)), numpy_of(model(x)), rtol=1e-5, atol=1e-4)


def test_channels_first_are_folded():
    conv = layers.Conv2D(3, 2, data_format="channels_first", name="a")
    model = chain((2, 4, 4), conv, norm(axis=1))
    assert kinds(quantize_model(model)) == {"a": "QConv2DBatchNorm"}
    model = chain((2, 4, 4), layers.Conv2D(3, 2, data_format="channels_first", name="a"), norm(axis=-1))
    assert kinds(quantize_model(model)) == {"a": "QConv2D", "norm": "QBatchNormalization"}


def residual():
    """A functional model, in it a nested one that is applied twice, and a skip around its second half."""
    inner = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(2, 3, padding="same", name="inside"), norm(name="inside_norm")],
        name="block",
    )
    inputs = keras.Input((4, 4, 2), name="inputs")
    x = inner(inner(inputs))
    skip = layers.Conv2D(2, 1, name="outside")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="deep")(norm(name="outside_norm")(skip))
    y = layers.Add(name="sum")([x, norm(name="deep_norm")(y)])
    return moved(keras.Model(inputs, y, name="residual"))


def test_functional_sequential_and_nested_graphs():
    model, x = residual(), values(16, 4, 4, 2)
    with defaults(**UNQUANTIZED):
        converted = quantize_model(model)
    assert kinds(converted) == {
        "inside": "QConv2DBatchNorm",
        "outside": "QConv2DBatchNorm",
        "deep": "QDepthwiseConv2DBatchNorm",
        "sum": "QAdd",
    }
    np.testing.assert_allclose(numpy_of(converted(x)), numpy_of(model(x)), rtol=1e-4, atol=1e-4)


def second_consumer():
    inputs = keras.Input((4, 2), name="inputs")
    x = layers.Conv1D(2, 2, name="a")(inputs)
    return keras.Model(inputs, layers.Add(name="sum")([x, norm()(x)]), name="model")


def output_of_the_model():
    inputs = keras.Input((4, 2), name="inputs")
    x = layers.Conv1D(2, 2, name="a")(inputs)
    return keras.Model(inputs, [x, norm()(x)], name="model")


APART = {
    "in front": lambda: chain((4, 2), norm(), layers.Conv1D(2, 2, name="a")),
    "another axis": lambda: chain((4, 2), layers.Conv1D(2, 2, name="a"), norm(axis=1)),
    "an activation between": lambda: chain((4, 2), layers.Conv1D(2, 2, activation="relu", name="a"), norm()),
    "a layer between": lambda: chain((4, 2), layers.Conv1D(2, 2, name="a"), layers.ReLU(name="relu"), norm()),
    "a table between": lambda: chain((4, 2), layers.Conv1D(2, 2, activation="tanh", name="a"), norm()),
    "a second consumer": second_consumer,
    "an output of the model": output_of_the_model,
    "trained apart": lambda: chain((4, 2), layers.Conv1D(2, 2, name="a"), norm(trainable=False)),
    "a regularized bias": lambda: chain((4, 2), layers.Conv1D(2, 2, bias_regularizer="l2", name="a"), norm()),
    "a batch axis of the kernel": lambda: chain(
        (4, 2), layers.EinsumDense("abc,cd->abd", (4, 2), name="a"), norm(axis=1)
    ),
}


@pytest.mark.parametrize("where", APART)
def test_elsewhere_the_normalization_stays_a_layer(where):
    model = moved(APART[where]())
    x = values(16, 4, 2)
    with defaults(**UNQUANTIZED):
        converted = quantize_model(model)
    found = kinds(converted)
    assert found["norm"] == "QBatchNormalization"
    assert found["a"] in ("QConv1D", "QEinsumDense")
    if where != "a table between":
        for got, wanted in zip(*(keras.tree.flatten(each(x)) for each in (converted, model)), strict=True):
            np.testing.assert_allclose(numpy_of(got), numpy_of(wanted), rtol=1e-5, atol=1e-5)


@pytest.mark.once
def test_what_stays_apart_is_logged_with_the_reason(caplog):
    with caplog.at_level(logging.INFO, "hgq2_core"):
        quantize_model(APART["another axis"]())
    assert caplog.messages == [
        "quantize_model: a and norm stay two layers: norm: QConv1DBatchNorm normalizes the channels of a, axis 2. "
        "Received: axis=1."
    ]


@pytest.mark.once
@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "in front",
            "a: QConv1DBatchNorm stands for a linear layer and the BatchNormalization right behind that alone takes "
            "its output. Received: activation='linear', behind: none. Before it: norm (BatchNormalization). "
            "Taking its output: none.",
        ),
        (
            "another axis",
            "norm: QConv1DBatchNorm normalizes the channels of a, axis 2. Received: axis=1.",
        ),
        (
            "an activation between",
            "a: QConv1DBatchNorm stands for a linear layer and the BatchNormalization right behind that alone takes "
            "its output. Received: activation='relu', behind: norm.",
        ),
        (
            "a layer between",
            "a: QConv1DBatchNorm stands for a linear layer and the BatchNormalization right behind that alone takes "
            "its output. Received: activation='linear', behind: none. Before it: none. Taking its output: relu (ReLU).",
        ),
        (
            "a second consumer",
            "a: QConv1DBatchNorm stands for a linear layer and the BatchNormalization right behind that alone takes "
            "its output. Received: activation='linear', behind: none. Before it: none. Taking its output: "
            "norm (BatchNormalization), sum (Add).",
        ),
        (
            "trained apart",
            "a: QConv1DBatchNorm trains kernel and normalization together, and has no outputs of the kernel alone to "
            "regularize. Received: trainable=True, that of norm False, activity_regularizer=None.",
        ),
    ],
)
def test_by_a_rule_that_asks_for_it_it_is_refused_by_name(where, message):
    with pytest.raises(ConfigError) as caught:
        quantize_model(APART[where](), {"a": {"kind": "conv1d_batch_norm"}})
    assert str(caught.value) == message


TWO = {"a": "QConv1D", "norm": "QBatchNormalization"}
ONE = {"a": "QConv1DBatchNorm"}


@pytest.mark.once
@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({"a": {"kernel_quantizer": {"kind": "kbi", "b": 3}}}, ONE),
        ({"a": {"kind": "conv1d_batch_norm", "kernel_quantizer": {"kind": "kbi", "b": 3}}}, ONE),
        ({"*": {"output_quantizer": "kif"}}, ONE),
        ({"a": {"kind": "conv1d"}}, TWO),
        ({"norm": {"kind": "batch_normalization"}}, TWO),
        ({"keras.BatchNormalization": {"scale_quantizer": {"kind": "kbi", "b": 3}}}, TWO),
        ({"a": {"activation": "relu"}}, TWO),
        ({"a": {"use_bias": False}}, TWO),
    ],
    ids=str,
)
def test_rules_decide(rules, wanted):
    model = chain((4, 2), layers.Conv1D(2, 2, use_bias=False, name="a"), norm())
    converted = quantize_model(model, rules)
    assert kinds(converted) == wanted
    if "kernel_quantizer" in rules.get("a", {}):
        assert converted.get_layer("a").kernel_quantizer.config.b == 3


@pytest.mark.once
def test_a_folded_model_is_exact_and_costs_less_than_the_unfolded():
    model, x = residual(), values(64, 4, 4, 2)
    folded = quantize_model(model)
    unfolded = quantize_model(model, {"keras.BatchNormalization": {"kind": "batch_normalization"}})
    for each in (folded, unfolded):
        calibrate(each, x)
        assert verify(each, values(32, 4, 4, 2, seed=2)).mismatches == 0
    assert ebops(folded) < ebops(unfolded)
