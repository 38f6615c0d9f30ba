"""Subclassed models: converted where Keras can trace their `call`, refused with the remedy elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, calibrate, fit_ranges, freeze, layers_of, load_model, quantize_model, verify
from hgq2_layers import QDense

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")


class Residual(keras.Model):
    """A model as people write it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(4, activation="relu", name="first")
        self.last = keras.layers.Dense(2, name="last")

    def call(self, x: Any, training: bool = False) -> Any:
        """Skip the first layer."""
        return self.last(self.first(x) + x)


class Deciding(Residual):
    """A model whose graph depends on its data."""

    def build(self, input_shape: Any) -> None:
        """Build the layers, as no symbolic call can."""
        self.first.build(input_shape)
        self.last.build(input_shape)

    def call(self, x: Any, training: bool = False) -> Any:
        """Look at the values."""
        return self.last(x) if np.asarray(x).sum() > 0 else self.first(x)


class Outer(keras.Model):
    """A model that applies a subclassed one."""

    def __init__(self, inner: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x: Any) -> Any:
        """Apply it."""
        return self.inner(x)


class Named(Residual):
    """A model of several inputs by name."""

    def call(self, x: Any, training: bool = False) -> Any:
        """Subtract one from the other, which the order of the names must not exchange."""
        return self.last(self.first(x["late"]) - x["early"])


class Inside(Residual):
    """A model that a wrapper of Keras can hold."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last = keras.layers.Dense(4, name="last")

    def build(self, input_shape: Any) -> None:
        """Build the layers."""
        self.first.build(input_shape)
        self.last.build(input_shape)
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape


class Block(keras.layers.Layer):
    """A layer made of layers, as people write blocks."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(4, activation="relu", name="first")
        self.norm = keras.layers.LayerNormalization(name="norm")

    def call(self, x: Any) -> Any:
        """Add the input."""
        return self.norm(x + self.first(x))


class Scaled(Block):
    """A layer with a weight of its own, which no layer inside has."""

    def build(self, input_shape: Any) -> None:
        """Add it."""
        self.scale = self.add_weight(name="scale", shape=(4,))

    def call(self, x: Any) -> Any:
        """Multiply by it."""
        return self.first(x) * self.scale


class Regularized(keras.layers.Layer):
    """A layer with a mode, whose default would decide it for good."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(4, activation="relu", name="first")
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.drop = keras.layers.Dropout(0.5, name="drop")

    def call(self, x: Any, training: bool = False) -> Any:
        """Hand on the mode."""
        return self.drop(self.norm(self.first(x), training=training), training=training)


class Branching(Regularized):
    """A layer that applies another one in training alone."""

    def call(self, x: Any, training: bool = False) -> Any:
        """Decide by the mode."""
        y = self.norm(self.first(x), training=training)
        return self.drop(y) if training else y


class Optional(Block):
    """A layer with an option of its call."""

    def call(self, x: Any, negative: bool = False) -> Any:
        """Decide by the option."""
        return super().call(-x if negative else x)


def a_layer_of_layers() -> keras.Model:
    """Apply it twice, and one in a nested model."""
    inputs, x, block = keras.Input((4,)), keras.Input((4,), name="x"), Block(name="block")
    nested = keras.Model(inputs, Block(name="inner")(inputs), name="nested")
    return keras.Model(x, keras.layers.Dense(2, name="out")(nested(block(block(x)))))


def within_functional() -> keras.Model:
    """Apply it twice: one model, two circuits."""
    x, inner = keras.Input((4,), name="x"), Inside(name="inner")
    return keras.Model(x, keras.layers.Dense(2, name="out")(inner(inner(x)) + x))


def within_sequential() -> keras.Model:
    """Stack it."""
    return keras.Sequential([keras.Input((4,)), Inside(name="inner"), keras.layers.Dense(2, name="out")])


def within_subclassed() -> keras.Model:
    """Apply a model that applies one."""
    outer = Outer(Residual(name="inner"), name="outer")
    outer(X)
    return outer


def within_a_wrapper() -> keras.Model:
    """Apply it to each step."""
    x = keras.Input((4,), name="x")
    steps = keras.layers.TimeDistributed(Inside(name="inner"), name="each")(keras.layers.Reshape((1, 4))(x))
    return keras.Model(x, keras.layers.Dense(2, name="out")(keras.layers.Flatten()(steps)))


@pytest.mark.parametrize(
    "make",
    [within_functional, within_sequential, within_subclassed, within_a_wrapper, a_layer_of_layers],
    ids=lambda make: make.__name__,
)
def test_a_subclassed_model_inside_another_is_converted(make: Any, tmp_path: Path) -> None:
    model = make()
    wanted = model.predict(X, verbose=0)
    converted = quantize_model(model, {"*first": {"kernel_quantizer": {"kind": "kbi", "b": 9}}})
    assert not any(isinstance(layer, Residual | Block) for layer in layers_of(converted))
    fit_ranges(converted, X)
    calibrate(converted, X)
    np.testing.assert_allclose(converted.predict(X, verbose=0), wanted, atol=0.3)
    converted.compile("sgd", "mse")
    converted.fit(X, wanted, verbose=0)
    calibrate(converted, X)
    assert verify(converted, X).ok
    frozen = freeze(converted)
    frozen.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict(X, verbose=0), frozen.predict(X, verbose=0))
    assert np.array_equal(model.predict(X, verbose=0), wanted)


def test_inputs_by_name_keep_their_names() -> None:
    model, x = Named(name="named"), {"late": X, "early": 2 * X}
    model(x)
    converted = quantize_model(model)
    calibrate(converted, x)
    assert verify(converted, x).ok
    np.testing.assert_allclose(converted.predict(x, verbose=0), model.predict(x, verbose=0), atol=0.2)


def test_a_static_call_is_converted() -> None:
    model = Residual(name="residual")
    model(X)
    converted = quantize_model(model, {"first": {"units": 4}})
    assert converted.name == "residual"
    assert [layer.name for layer in converted.layers if isinstance(layer, QDense)] == ["first", "last"]
    calibrate(converted, X)
    assert verify(converted, X).ok
    np.testing.assert_allclose(converted.predict(X, verbose=0), model.predict(X, verbose=0), atol=0.2)


@pytest.mark.parametrize(
    ("model", "called", "message"),
    [
        (
            Residual(name="net"),
            False,
            r"the graph of net \(Residual\) is not known\. Build it first: call",
        ),
        (
            Deciding(name="net"),
            True,
            r"Keras cannot trace the call of net \(Deciding\): .*Use a functional",
        ),
        (
            Outer(Deciding(name="inner"), name="net"),
            True,
            r"Keras cannot trace the call of inner \(Deciding\): .*Use a functional",
        ),
    ],
    ids=["not built", "by data", "nested"],
)
def test_what_has_no_graph_is_refused_with_the_remedy(model: keras.Model, called: bool, message: str) -> None:
    if called:
        model(X)
    with pytest.raises(ConfigError, match=message):
        quantize_model(model)


def test_a_model_inside_time_distributed_is_converted_and_exact() -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)])
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, keras.layers.TimeDistributed(inner, name="steps")(inputs))
    converted = quantize_model(model)
    assert all(isinstance(layer, QDense) for layer in converted.get_layer("steps").layer.layers)
    steps = np.stack([X, 2 * X, -X], axis=1)
    calibrate(converted, steps)
    assert verify(converted, steps).ok


def test_a_weight_that_no_layer_inside_has_is_not_lost_in_silence() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, Scaled(name="scaled")(x))
    with pytest.raises(ConfigError, match=r"the graph of scaled \(Scaled\) would not have scaled/scale: no layer that"):
        quantize_model(model)


def test_a_layer_of_layers_has_both_modes() -> None:
    x = keras.Input((4,))
    converted = quantize_model(keras.Model(x, Regularized(name="block")(x)))
    fit_ranges(converted, X)
    in_training, in_inference = (keras.ops.convert_to_numpy(converted(X, training=mode)) for mode in (True, False))
    zeros = [float((each == 0).mean(axis=0).min()) for each in (in_training, in_inference)]
    assert zeros[0] > 0.25 > zeros[1]


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (Branching(name="block"), {}, r"the call of block \(Branching\) applies other layers or operations if `train"),
        (Optional(name="block"), {"negative": True}, r"block \(Optional\) is called with negative by keyword, which"),
    ],
    ids=["mode", "option"],
)
def test_a_call_that_one_graph_cannot_say_is_refused(layer: Any, options: dict[str, Any], message: str) -> None:
    x = keras.Input((4,))
    with pytest.raises(ConfigError, match=message):
        quantize_model(keras.Model(x, layer(x, **options)))


def test_a_rule_replaces_a_layer_of_layers_as_a_whole() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, Block(name="block")(x))
    with pytest.raises(ConfigError, match="units"):
        quantize_model(model, {"block": {"kind": "dense"}})


def test_what_does_not_train_still_does_not() -> None:
    inner, x = Inside(name="inner"), keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(2, name="out", activation="tanh")(inner(x) - x))
    inner.trainable = False
    converted = quantize_model(model)
    assert converted.trainable
    assert not converted.get_layer("inner").trainable
    paths = {variable.path.partition("/")[0] for variable in converted.trainable_variables}
    assert paths == {"out", "out_activation", "x_quantize"}
    assert {variable.trainable for variable in inner.variables} == {False}
    assert model.get_layer("out").trainable
