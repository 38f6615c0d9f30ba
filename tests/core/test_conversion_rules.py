"""`quantize_model` with rules: which layer one is for, what it sets, and the kinds that it chooses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from keras import layers
from plain_models import UNQUANTIZED, plain_model, recurrent_model, sequential, values

from hgq2_core import ConfigError, QLayer, defaults, quantize_model, summary
from hgq2_core.layers.arguments import PositiveInt


def test_a_rule_for_a_layer_inside_another():
    model = keras.Sequential([keras.Input((4, 2)), layers.TimeDistributed(layers.Dense(3, name="in"), name="each")])
    converted = quantize_model(model, {"each/in": {"kernel_quantizer": {"kind": "kbi", "b": 3}}})
    assert converted.layers[0].layer.kernel_quantizer.config.b == 3
    with pytest.raises(ConfigError, match="Allowed: each, each/in; keras"):
        quantize_model(model, {"each/out": {}})


@pytest.mark.parametrize(
    ("rules", "bits"),
    [
        ([{"match": "first", "kernel_quantizer": {"kind": "kbi", "b": 3}}], {"first": 3, "shared": 7, "dense": 7}),
        ({"keras.Dense": {"kernel_quantizer": {"kind": "kbi", "b": 4}}}, {"first": 4, "shared": 4, "dense": 4}),
        ({"inner/d*": {"kernel_quantizer": {"kind": "kbi", "b": 5}}}, {"first": 7, "shared": 7, "dense": 5}),
        (
            [
                {"match": "shared", "kernel_quantizer": {"kind": "kbi", "b": 2}},
                {"match": "keras.Dense", "kind": "layers.dense", "kernel_quantizer": {"kind": "kbi", "b": 6}},
            ],
            {"first": 6, "shared": 2, "dense": 6},
        ),
    ],
)
def test_the_first_rule_that_matches_counts(rules, bits):
    model = quantize_model(plain_model(), rules)
    found = {layer.name: layer for layer in [*model.layers, *model.get_layer("inner").layers]}
    assert {name: found[name].kernel_quantizer.config.b for name in bits} == bits


def test_arguments_of_a_rule_come_before_those_of_the_layer():
    model = sequential(layers.Dense(3, "softmax", name="a"))
    assert quantize_model(model, {"a": {"activation": "linear"}}).layers[0].get_config()["activation"] == "linear"


def moved(model):
    """Return a model whose weights and statistics are all uneven."""
    rng = np.random.default_rng(5)
    for variable in model.weights:
        variable.assign(0.5 + rng.random(size=tuple(variable.shape)))
    return model


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("make", "match", "kind"),
    [
        (lambda bias, norm: [layers.Dense(3, use_bias=bias, name="a"), norm], "a", "dense_batch_norm"),
        (
            lambda bias, norm: [layers.EinsumDense("ab,bc->ac", 3, bias_axes="c" if bias else None, name="a"), norm],
            "a",
            "einsum_dense_batch_norm",
        ),
        (lambda bias, norm: [norm, layers.Dense(3, use_bias=bias, name="a")], "norm", "batch_norm_dense"),
    ],
)
def test_a_rule_fuses_a_product_and_its_normalization(make, match, kind, use_bias, center):
    norm = layers.BatchNormalization(center=center, epsilon=0.25, momentum=0.5, name="norm")
    model, x = moved(sequential(*make(use_bias, norm), layers.ReLU())), values(64, 4)
    with defaults(**UNQUANTIZED):
        fused = quantize_model(model, {match: {"kind": kind}})
    assert [type(layer).__name__ for layer in fused.layers].count("Activation") == 1
    np.testing.assert_allclose(numpy_of(fused(x)), numpy_of(model(x)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        numpy_of(fused(x, training=True)), numpy_of(model(x, training=True)), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        numpy_of(fused(x)), numpy_of(model(x)), rtol=1e-5, atol=1e-5
    )  # the statistics moved alike


def test_only_a_normalization_that_alone_takes_the_output_is_fused():
    inputs = keras.Input((4,))
    product = layers.Dense(3, name="a")(inputs)
    model = keras.Model(inputs, layers.Add(name="add")([layers.BatchNormalization(name="norm")(product), product]))
    with pytest.raises(ConfigError, match="behind: none"):
        quantize_model(model, {"a": {"kind": "dense_batch_norm"}, "add": {"kind": "keras.Add"}})


class QHalves(QLayer):
    """A layer of whoever: half the units a Dense has, and its kernel under another name."""

    def __init__(self, pairs: PositiveInt, name: str | None = None) -> None:
        self.pairs = pairs
        super().__init__(name=name)

    @classmethod
    def from_keras(cls, layer, **arguments):
        return cls(layer.units // 2, name=layer.name, **arguments)

    def take_weights(self, layer):
        self.matrix.assign(numpy_of(layer.kernel)[:, ::2])

    def build(self, input_shape):
        self.matrix = self.add_weight(name="matrix", shape=(input_shape[-1], self.pairs))
        self.built = True

    def call(self, x):
        return x @ self.matrix


@pytest.mark.filterwarnings("ignore:QHalves does not define:FutureWarning")
def test_a_class_says_itself_what_it_takes_over(monkeypatch):
    from hgq2_core.discovery.registry import Registry

    load = Registry.load
    monkeypatch.setattr(
        Registry,
        "load",
        lambda self, group, name, where="": QHalves if name == "mine.halves" else load(self, group, name, where),
    )
    model = sequential(layers.Dense(6, name="a"))
    converted = quantize_model(model, {"a": {"kind": "mine.halves"}})
    assert np.array_equal(numpy_of(converted.layers[0].matrix), numpy_of(model.layers[0].kernel)[:, ::2])


def test_the_activation_of_a_rule_leaves_nothing_behind():
    converted = quantize_model(sequential(layers.Dense(3, "tanh", name="a")), {"a": {"activation": "relu"}})
    assert [layer.name for layer in converted.layers] == ["a"]


def test_an_operation_becomes_another_layer_by_a_rule():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(4)(inputs) + inputs)
    assert type(quantize_model(model, {"keras.ops.add": {"kind": "add"}}).layers[-1]).__name__ == "QAdd"


def test_bits_are_for_what_nothing_else_says():
    with defaults(weight={"kind": "kif", "f": 3}):
        model = quantize_model(plain_model(), {"first": {"input_quantizer": {"kind": "kbi", "b": 3}}}, bits=5)
    first, shared = model.get_layer("first"), model.get_layer("shared")
    assert (first.kernel_quantizer.config.f, first.bias_quantizer.config.b) == (3, 4)
    assert (first.input_quantizer.config.b, shared.input_quantizer.config.b) == (3, 4)
    assert quantize_model(plain_model(), bits=None).get_layer("first").kernel_quantizer.config.granularity == "element"


def test_a_rule_finds_a_layer_inside_a_wrapper():
    rules = {"both/forward_*": {"kernel_quantizer": {"kind": "kbi", "b": 3}}}
    converted = quantize_model(recurrent_model(), rules)
    bits = {row.name: {slot.name: slot.max for slot in row.slots} for row in summary(converted).layers}
    assert (bits["both/forward_lstm"]["kernel"], bits["both/backward_lstm"]["kernel"]) == (3, 7)
