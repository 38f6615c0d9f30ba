"""`quantize_model` and `hgq2 quantize`: plain Keras models become quantized ones, their weights kept."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from arrays import numpy_of
from typer.testing import CliRunner

from hgq2_core import (
    CalibrationError,
    ConfigError,
    QLayer,
    calibrate,
    defaults,
    fit_ranges,
    load_model,
    quantize_model,
    summary,
    verify,
)
from hgq2_core.cli.main import app
from hgq2_core.layers.arguments import PositiveInt
from hgq2_layers import QDense, QDenseBatchNorm, QEinsumDense
from hgq2_training.datasets.digits import Digits
from hgq2_training.runs.convert import ConversionConfig

layers = keras.layers
UNQUANTIZED = {
    "weight": "none",
    "bias": "none",
    "activation": "none",
}


def values(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def plain_model():
    """A functional model with a sequential one inside, a layer applied twice, and passive layers."""
    keras.utils.set_random_seed(3)
    inner = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(6, name="dense"),
            layers.BatchNormalization(axis=1, epsilon=0.25, momentum=0.5, name="norm"),
            layers.ReLU(name="relu"),
        ],
        name="inner",
    )
    inputs = keras.Input((4,))
    shared = layers.Dense(6, kernel_regularizer="l2", name="shared")
    x = layers.Dropout(0.25, name="drop")(layers.Dense(6, "relu", name="first")(inputs))
    x = inner(shared(shared(x)))
    x = layers.Reshape((2, 3), name="reshape")(x)
    x = layers.EinsumDense("abc,cd->abd", (None, 2), bias_axes="d", name="einsum")(x)
    model = keras.Model(inputs, x, name="outer")
    for variable in model.variables:
        if variable.name in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(1.0 + np.abs(values(*variable.shape)))
    return model


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


def sequential(*layers_of_it):
    return keras.Sequential([keras.Input((4,)), *layers_of_it])


def test_a_layer_can_be_left_in_floats():
    model = sequential(layers.Dense(3, name="a"), layers.LayerNormalization(name="norm"))
    model.layers[1].gamma.assign([1.0, 2.0, 3.0])
    converted = quantize_model(model, {"norm": {"kind": "keras.LayerNormalization"}})
    assert [type(layer) for layer in converted.layers] == [QDense, layers.LayerNormalization]
    assert numpy_of(converted.layers[1].gamma).tolist() == [1.0, 2.0, 3.0]


def test_arguments_of_a_rule_come_before_those_of_the_layer():
    model = sequential(layers.Dense(3, "softmax", name="a"))
    assert quantize_model(model, {"a": {"activation": "linear"}}).layers[0].get_config()["activation"] == "linear"


def test_quantized_layers_stay():
    model = sequential(QDense(3, name="a", kernel_quantizer={"kind": "kbi", "b": 3}), layers.Dense(2, name="b"))
    converted = quantize_model(model)
    assert converted.layers[0].kernel_quantizer.config.b == 3
    assert np.array_equal(numpy_of(converted.layers[0].kernel), numpy_of(model.layers[0].kernel))


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


@pytest.mark.parametrize(
    ("layer", "rules", "message"),
    [
        (
            layers.Dense(3, name="a"),
            {"b": {}},
            "quantize_model: rules.0 converts no layer: none is of this name or class. Received: match='b'. Allowed: "
            "a; keras.Dense.",
        ),
        (layers.Dense(3, name="a"), {"keras.Dens": {}}, "Did you mean 'keras.Dense'?"),
        (layers.Dense(3, name="a"), [{"match": "a"}, {"match": "*"}], "rules.1 converts no layer"),
        (layers.ReLU(name="a"), {"a": {}}, "rules.0 converts no layer"),
        (layers.Dense(3, name="a"), [{"kind": "dense"}], "quantize_model: rules.0.match: is missing."),
        (layers.Dense(3, name="a"), ["a"], "quantize_model: rules.0: must be a mapping with `match`. Received: 'a'."),
        (layers.Dense(3, name="a"), {"a": {"kind": "dens"}}, "quantize_model: rules.0: unknown layer kind"),
        (layers.Dense(3, name="a"), {"a": {"kernel_quantiser": "kbi"}}, "Did you mean 'kernel_quantizer'?"),
        (layers.Dense(3, name="a"), {"a": {"kind": "keras.ReLU"}}, "rules.0: a is a keras.Dense, which"),
        (layers.Dense(3, "log_softmax", name="a"), {}, "a_activation': activation: must be a function of one number."),
        (
            layers.Dense(3, "tanh", name="a"),
            {"a": {"activation": "tanh"}},
            "QDense 'a': activation: the activation inside a quantized layer",
        ),
        (
            layers.BatchNormalization(renorm=True, renorm_momentum=0.5, name="a"),
            {},
            "a: QBatchNormalization has no renorm, renorm_clipping, renorm_momentum, which this BatchNormalization "
            "needs. Received: renorm=True, renorm_clipping={}, renorm_momentum=0.5.",
        ),
        (
            layers.Dense(3, name="a"),
            {"a": {"kind": "batch_normalization"}},
            "a: QBatchNormalization has no activation, units,",
        ),
        (
            layers.Dense(3, name="a"),
            {"a": {"kind": "dense_batch_norm"}},
            "a: QDenseBatchNorm stands for a linear layer and the BatchNormalization right behind that alone takes its "
            "output. Received: activation='linear', behind: none.",
        ),
        (
            layers.Dense(3, name="a"),
            {"a": {"kind": "batch_norm_dense"}},
            "a: QBatchNormDense stands for a BatchNormalization of the last axis and the Dense right behind that alone "
            "takes its output. Received: a Dense, behind: none.",
        ),
        (
            layers.UnitNormalization(name="a"),
            {},
            "quantize_model: a: UnitNormalization has no quantized form of its name, and no exact arithmetic "
            "(unbounded function: write a unary function (unary_function)). Write a rule for it, with the kind of a "
            "quantized layer (`hgq2 list layers`), or kind 'keras.UnitNormalization', which keeps it in "
            "floats. Did you mean 'group_normalization'?",
        ),
        (layers.ReLU(max_value=0.1, name="a"), {}, "or kind 'keras.ReLU', which keeps it in floats."),
    ],
)
def test_what_cannot_be_converted_is_named(layer, rules, message):
    with pytest.raises(ConfigError) as caught:
        quantize_model(sequential(layer), rules)
    assert message in str(caught.value)


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


def test_the_activation_of_a_rule_leaves_nothing_behind():
    converted = quantize_model(sequential(layers.Dense(3, "tanh", name="a")), {"a": {"activation": "relu"}})
    assert [layer.name for layer in converted.layers] == ["a"]


def test_a_layer_that_stays_keeps_its_activation():
    converted = quantize_model(sequential(layers.Dense(3, "tanh", name="a")), {"a": {"kind": "keras.Dense"}})
    assert [layer.activation.__name__ for layer in converted.layers] == ["tanh"]


def test_a_model_without_a_graph_is_refused():
    with pytest.raises(ConfigError, match="quantize_model: the graph of unbuilt"):
        quantize_model(keras.Sequential([layers.Dense(3)], name="unbuilt"))


def test_operations_without_exact_arithmetic_are_refused():
    inputs = keras.Input((4,))
    with pytest.raises(ConfigError, match=r"keras\.ops\.sin, an operation on tensors, has no exact arithmetic"):
        quantize_model(keras.Model(inputs, keras.ops.sin(layers.Dense(3)(inputs))))


def test_raw_inputs_and_wide_factors_are_quantized_before_an_operation():
    inputs = keras.Input((4,), name="x")
    first, second = (layers.Dense(4, name=name)(inputs) for name in ("a", "b"))
    model = quantize_model(keras.Model(inputs, (inputs + first) * second))
    added = [layer.name for layer in model.layers if layer.name.endswith("_quantize")]
    assert {"x_quantize", "b_quantize"} < set(added)
    assert len(added) == 3  # and of the sum


def test_an_operation_becomes_another_layer_by_a_rule():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(4)(inputs) + inputs)
    assert type(quantize_model(model, {"keras.ops.add": {"kind": "add"}}).layers[-1]).__name__ == "QAdd"


@pytest.fixture(scope="module")
def digits():
    """A model trained in floats, and the data."""
    data = Digits().load()
    keras.utils.set_random_seed(0)
    model = sequential_on_digits()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(data.train.x, data.train.y, epochs=15, batch_size=64, verbose=0)
    return model, data


def sequential_on_digits():
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(32, name="hidden_1"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Dense(32, "relu", name="hidden_2"),
            layers.Dense(10, name="logits"),
        ]
    )


def accuracy(model, split):
    return np.mean(model.predict(split.x, verbose=0).argmax(1) == split.y)


def hgq2(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_without_any_word_on_bits_eight_keep_the_accuracy(digits):
    model, data = digits
    converted = quantize_model(model)
    calibrate(converted, data.train.x)
    assert verify(converted, data.test.x).mismatches == 0
    assert accuracy(converted, data.test) >= accuracy(model, data.test) - 0.01 >= 0.93
    slots = [slot for row in summary(converted).layers for slot in row.slots]
    assert {(slot.min, slot.max) for slot in slots} == {(7, 7)}  # and a sign


def test_bits_are_for_what_nothing_else_says():
    with defaults(weight={"kind": "kif", "f": 3}):
        model = quantize_model(plain_model(), {"first": {"input_quantizer": {"kind": "kbi", "b": 3}}}, bits=5)
    first, shared = model.get_layer("first"), model.get_layer("shared")
    assert (first.kernel_quantizer.config.f, first.bias_quantizer.config.b) == (3, 4)
    assert (first.input_quantizer.config.b, shared.input_quantizer.config.b) == (3, 4)
    assert quantize_model(plain_model(), bits=None).get_layer("first").kernel_quantizer.config.granularity == "element"


@pytest.mark.parametrize("bits", [1, True, 8.0])
def test_bits_that_are_no_width(bits):
    with pytest.raises(ConfigError, match="bits is a width with its sign, 2 or more"):
        quantize_model(plain_model(), bits=bits)


def test_the_command_gives_a_model_to_use(digits, tmp_path):
    model, data = digits
    model.save(tmp_path / "float.keras")
    rules = {"bits": 9, "rules": [{"match": "logits", "kernel_quantizer": {"kind": "kbi", "b": 6}}]}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    np.savez(tmp_path / "samples.npz", x=data.test.x, y=data.test.y)
    arguments = ["quantize", tmp_path / "float.keras", "--rules", tmp_path / "rules.json", "-o", tmp_path / "q.keras"]
    found = json.loads(hgq2(*arguments, "--data", tmp_path / "samples.npz", "--bits", "8", "--json"))
    rows = {row["name"]: row for row in found["layers"]}
    assert {name: row["kind"] for name, row in rows.items() if row["ebops"]} == {
        "hidden_1": "layers.dense_batch_norm",
        "hidden_2": "layers.dense",
        "logits": "layers.dense",
    }
    assert found["comparison"]["verify"] == {"mismatches": 0, "samples": 112}
    floats, quantized = (found["comparison"][name]["accuracy"] for name in ("floats", "quantized"))
    assert abs(floats - quantized) < 0.01
    assert 0 < found["comparison"]["difference"] < 0.05
    converted = load_model(tmp_path / "q.keras", compile=True)
    widths = [converted.get_layer(name).kernel_quantizer.config.b for name in ("hidden_1", "logits")]
    assert widths == [7, 6]
    assert verify(converted, data.test.x).mismatches == 0
    converted.fit(data.train.x, data.train.y, epochs=1, verbose=0)  # compiled as the one in floats


def test_the_command_says_what_is_missing_without_data(digits, tmp_path):
    digits[0].save(tmp_path / "float.keras")
    text = hgq2("quantize", tmp_path / "float.keras", "-o", tmp_path / "q.keras")
    assert "Not calibrated: give --data, or train the model and call hgq2_core.calibrate." in text
    with pytest.raises(CalibrationError):
        verify(load_model(tmp_path / "q.keras"), digits[1].test.x)


def test_the_command_tells_how_far_the_outputs_moved(digits, tmp_path):
    model, _ = digits
    keras.Model(model.inputs[0], model.outputs[0]).save(tmp_path / "float.keras")  # not compiled
    text = hgq2("quantize", tmp_path / "float.keras", "-o", tmp_path / "q.keras", "--data", "digits", "--bits", "6")
    assert "accuracy" not in text
    assert "of their deviation on average" in text
    assert "0 mismatches in 449 samples (integers == Keras)" in text


def test_the_command_converts_around_what_a_rule_leaves_in_floats(tmp_path):
    sequential(layers.Dense(3), layers.LayerNormalization(name="norm")).save(tmp_path / "float.keras")
    rules = {"rules": [{"match": "norm", "kind": "keras.LayerNormalization"}]}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    np.savez(tmp_path / "samples.npz", x=values(32, 4), y=values(32, 3))
    arguments = ["quantize", tmp_path / "float.keras", "--rules", tmp_path / "rules.json", "-o", tmp_path / "q.keras"]
    text = hgq2(*arguments, "--data", tmp_path / "samples.npz")
    assert "not verified: norm: keras.LayerNormalization has no exact arithmetic." in text
    assert (tmp_path / "q.keras").exists()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"rule": []}, "unknown field 'rule'. Allowed: bits, data, defaults, rules. Did you mean 'rules'?"),
        ({"rules": {}}, "rules: must be a list."),
        ({"bits": 1}, "bits: must be greater than or equal to 2. Received: 1 (int)."),
        ({"data": "digit"}, "data: unknown dataset kind. Received: 'digit'."),
        ({"data": "magic"}, "the shape does not fit the data. Received: shape [4], data of shape [10]."),
        ({"rules": [{"match": "dens"}]}, "Did you mean 'dense'?"),
        ({"rules": [{"match": "dense", "kind": "dens"}]}, "Did you mean 'dense'?"),
        ({"rules": [{"match": "nothing"}]}, "rules.0 converts no layer"),
    ],
)
def test_wrong_files_of_rules(document, message, tmp_path):
    sequential(layers.Dense(3, name="dense")).save(tmp_path / "float.keras")
    (tmp_path / "rules.json").write_text(json.dumps(document))
    output = tmp_path / "q.keras"
    arguments = ["quantize", tmp_path / "float.keras", "--rules", tmp_path / "rules.json", "-o", output]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 2
    assert message in result.stderr
    assert not output.exists()


def test_nothing_is_overwritten(tmp_path):
    sequential(layers.Dense(3)).save(tmp_path / "float.keras")
    result = CliRunner().invoke(app, ["quantize", str(tmp_path / "float.keras"), "-o", str(tmp_path / "float.keras")])
    assert result.exit_code == 2
    assert "--output must be a new file that ends in .keras" in result.stderr


def recurrent_model():
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="lstm"), name="both"),
            layers.TimeDistributed(layers.Dense(4, "tanh", name="dense"), name="steps"),
            layers.GRU(5, name="gru"),
            layers.Dense(2, name="out"),
        ]
    )


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


def test_a_rule_finds_a_layer_inside_a_wrapper():
    rules = {"both/forward_*": {"kernel_quantizer": {"kind": "kbi", "b": 3}}}
    converted = quantize_model(recurrent_model(), rules)
    bits = {row.name: {slot.name: slot.max for slot in row.slots} for row in summary(converted).layers}
    assert (bits["both/forward_lstm"]["kernel"], bits["both/backward_lstm"]["kernel"]) == (3, 7)


def test_a_mask_that_the_quantized_layer_does_not_take_is_named():
    inputs, mask = keras.Input((4, 3)), keras.Input((4,), dtype="bool")
    model = keras.Model([inputs, mask], layers.GlobalAveragePooling1D(name="mean")(inputs, mask=mask))
    with pytest.raises(ConfigError, match=r"^mean: takes no mask: without masked=True all positions count in its mean"):
        quantize_model(model)
