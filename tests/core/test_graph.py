"""Walking a model: layers once, applications in order, nested models opened."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import ExactnessError, layers_of
from hgq2_core.keras_graph.traversal import applications, run

layers = keras.layers


def dense(units, name):
    return layers.Dense(units, name=name)


@pytest.fixture
def model():
    """outer: a -> inner(b -> c) -> c again -> sum with a."""
    shared = dense(4, "c")
    inputs = keras.Input((4,), name="in")
    inner = keras.Model(inputs, shared(dense(4, "b")(inputs)), name="inner")
    inputs = keras.Input((4,), name="x")
    first = dense(4, "a")(inputs)
    outputs = layers.Add(name="sum")([shared(inner(first)), first])
    return keras.Model(inputs, outputs, name="outer")


def test_layers_come_once(model):
    found = [layer.name for layer in layers_of(model)]
    assert sorted(found) == ["a", "b", "c", "in", "inner", "outer", "sum", "x"]


def test_applications_come_in_order_and_as_often_as_there_are(model):
    found = [(item.path, item.output_shape) for item in applications(model)]
    assert found == [("a", (4,)), ("inner/b", (4,)), ("inner/c", (4,)), ("c", (4,)), ("sum", (4,))]


def test_applications_of_a_sequential_model():
    model = keras.Sequential([keras.Input((4,)), dense(3, "a"), layers.ReLU(name="b"), dense(2, "c")])
    assert [(item.path, item.output_shape) for item in applications(model)] == [("a", (3,)), ("b", (3,)), ("c", (2,))]


def test_sublayers_come_after_their_owner():
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, layers.TimeDistributed(dense(2, "inner"), name="each")(inputs))
    assert [(item.path, item.output_shape) for item in applications(model)] == [("each", (3, 2)), ("each/inner", None)]


def test_several_outputs_have_no_one_shape():
    inputs = keras.Input((3, 4))
    lstm = layers.LSTM(2, return_state=True, name="lstm")
    model = keras.Model(inputs, lstm(inputs))
    first = next(applications(model))
    assert (first.path, first.output_shape) == ("lstm", None)


def test_of_a_subclassed_model_each_layer_counts_once():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = dense(4, "first"), dense(2, "second")

        def call(self, x):
            return self.second(self.first(self.first(x)))

    model = Own()
    model(np.zeros((1, 4)))
    assert [(item.path, item.output_shape) for item in applications(model)] == [("first", None), ("second", None)]


def test_of_a_single_layer_the_sublayers_are_its_applications():
    layer = layers.TimeDistributed(dense(2, "inner"), name="each")
    assert [item.path for item in applications(layer, "each/")] == ["each/inner"]


def test_run_computes_with_any_values(model):
    seen = []

    def apply(layer, path, args, kwargs):
        seen.append(path)
        operands = args[0] if isinstance(args[0], list) else args
        return f"{layer.name}({'+'.join(operands)})"

    assert run(model, ["X"], apply) == ["sum(c(c(b(a(X))))+a(X))"]
    assert seen == ["a", "inner/b", "inner/c", "c", "sum"]


def test_run_reproduces_keras(model):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    (ours,) = run(model, [keras.ops.convert_to_tensor(x)], lambda layer, path, args, kwargs: layer(*args, **kwargs))
    assert np.array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(model(x)))


def test_run_gives_every_output_and_takes_every_input():
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    model = keras.Model([a, b], [dense(1, "left")(a), layers.Add(name="both")([a, b]), dense(1, "right")(b)])
    result = run(model, [1, 10], lambda layer, path, args, kwargs: sum(np.ravel(args).tolist()) + 100)
    assert result == [101, 111, 110]


def test_run_opens_nested_models_with_several_outputs():
    a = keras.Input((1,), name="a")
    inner = keras.Model(a, [dense(1, "left")(a), dense(1, "right")(a)], name="inner")
    x = keras.Input((1,), name="x")
    left, right = inner(x)
    model = keras.Model(x, layers.Subtract(name="minus")([left, right]))

    def apply(layer, path, args, kwargs):
        values = args[0] if isinstance(args[0], list) else args
        return values[0] - values[1] if path == "minus" else values[0] + {"inner/left": 5, "inner/right": 3}[path]

    assert run(model, [0], apply) == [2]


def test_keyword_arguments_reach_the_operation():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dropout(0.5, name="drop")(inputs, training=False))
    seen = []
    run(model, ["X"], lambda layer, path, args, kwargs: seen.append((path, args, kwargs)) or "Y")
    assert seen == [("drop", ("X",), {"training": False})]


def test_a_graph_that_is_not_known_is_an_error():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ExactnessError, match=r"here/own: the graph of this Own is not known"):
        run(Own(name="own"), [0], lambda *_: 0, "here/")
    with pytest.raises(ExactnessError, match="Build it first"):
        run(keras.Sequential([dense(2, "a")], name="unbuilt"), [0], lambda *_: 0)
