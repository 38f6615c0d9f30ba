"""`quantize_model` of models that are quantized already, partly or wholly."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, calibrate, freeze, quantize_model, verify
from hgq2_layers import QDense

layers = keras.layers
SAMPLES = np.random.default_rng(9).normal(size=(64, 4)).astype(np.float32)

pytestmark = pytest.mark.once


def partly_quantized() -> keras.Model:
    keras.utils.set_random_seed(9)
    return keras.Sequential(
        [keras.Input((4,)), QDense(3, name="h"), layers.ReLU(name="relu"), layers.Dense(2, name="logits")]
    )


def outputs(model: keras.Model) -> np.ndarray:
    return model.predict(SAMPLES, verbose=0)


def test_what_is_quantized_stays_as_it_is():
    model = partly_quantized()
    converted = quantize_model(model)
    assert [type(layer).__name__ for layer in converted.layers] == ["QDense", "ReLU", "QDense"]
    assert converted.get_layer("h").get_config() == model.get_layer("h").get_config()


def test_a_wholly_quantized_model_is_copied_with_its_calibration():
    model = quantize_model(partly_quantized())
    calibrate(model, SAMPLES)
    again = quantize_model(model)
    assert again is not model and verify(again, SAMPLES).ok
    assert np.array_equal(outputs(again), outputs(model))
    assert np.array_equal(outputs(quantize_model(freeze(model))), outputs(freeze(model)))


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"h": {"kernel_quantizer": "kif"}}, "h is already quantized, and is kept"),
        ({"relu": {}}, "relu is exact, and is kept; a rule with a `kind` converts it"),
        ({"*": {}, "logits": {}}, "logits is converted by rules.0, which comes before"),
    ],
)
def test_a_rule_that_does_nothing_says_why(rules, why):
    with pytest.raises(ConfigError) as caught:
        quantize_model(partly_quantized(), rules)
    last = list(rules)[-1]
    assert str(caught.value) == (
        f"quantize_model: rules.{len(rules) - 1} converts no layer: {why}. Received: match={last!r}."
    )


def test_a_rule_for_a_wrapper_says_where_the_layers_are():
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, layers.TimeDistributed(layers.Dense(2, name="dense"), name="steps")(inputs))
    with pytest.raises(ConfigError) as caught:
        quantize_model(model, {"steps": {}})
    wanted = "rules.0 converts no layer: steps is a wrapper: match the layers inside it. Received: match='steps'."
    assert str(caught.value) == f"quantize_model: {wanted}"
