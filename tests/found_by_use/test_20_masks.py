"""Every layer behind a mask that Keras hands on trains, or says where the model is made that it takes none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_attention import QMultiHeadAttention, QSoftmax
from hgq2_core import ConfigError, ExactnessError, calibrate, quantize_model, verify
from hgq2_core.config.model import ModelConfig
from hgq2_layers import (
    QGRU,
    QLSTM,
    QAveragePooling1D,
    QBatchNormalization,
    QConv1D,
    QConv1DTranspose,
    QDense,
    QEinsumDense,
    QEinsumDenseBatchNorm,
    QEmbedding,
    QGlobalAveragePooling1D,
    QIntegrateAndFire,
    QLeakyIntegrateAndFire,
    QMaxPooling1D,
    QMeanPow2,
    QReLU,
    QSimpleRNN,
    QSum,
)

LAYERS = keras.layers
SHAPE = (4, 3)
WITHOUT = "Let the padding be zeros in the data, and leave Masking and mask_zero=True out."
RECEIVED = f"Received: one, which an earlier layer, such as Masking or Embedding(mask_zero=True), makes. {WITHOUT}"
TAKEN = (
    "it takes the mask that an earlier layer, such as Masking or Embedding(mask_zero=True), makes, which is no part of "
    "the exact arithmetic."
)
RUNS = "a circuit runs all its steps, from states of zero"
SPIKES = "a circuit runs all its steps, from a membrane of zero"

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "simple_rnn": (lambda: QSimpleRNN(2, name="it"), RUNS),
    "lstm": (lambda: QLSTM(2, name="it"), RUNS),
    "gru": (lambda: QGRU(2, name="it", return_sequences=True), RUNS),
    "spiking": (lambda: QIntegrateAndFire(name="it"), SPIKES),
    "leaky": (lambda: QLeakyIntegrateAndFire(0.5, name="it"), SPIKES),
    "mean": (
        lambda: QGlobalAveragePooling1D(name="it"),
        "all positions count in its mean, where Keras' own leaves the masked ones out",
    ),
}
PASSED: dict[str, tuple[Callable[[], Any], bool]] = {
    "dense": (lambda: QDense(2), True),
    "einsum": (lambda: QEinsumDense("abc,cd->abd", (4, 2)), True),
    "einsum over steps": (lambda: QEinsumDense("abc,bd->adc", (5, 3)), False),
    "normalized": (lambda: QEinsumDenseBatchNorm("abc,cd->abd", (4, 2), bias_axes="d"), True),
    "normalization": (lambda: QBatchNormalization(), True),
    "relu": (lambda: QReLU(), True),
    "same": (lambda: QConv1D(2, 3, padding="same"), True),
    "causal": (lambda: QConv1D(2, 3, padding="causal"), True),
    "valid": (lambda: QConv1D(2, 3), False),
    "strided": (lambda: QConv1D(2, 2, strides=2, padding="same"), False),
    "transposed": (lambda: QConv1DTranspose(2, 2, strides=2), False),
    "sum of features": (lambda: QSum(-1, keepdims=True), True),
    "sum of steps": (lambda: QSum(1), False),
    "mean that stays": (lambda: QMeanPow2(-1, keepdims=True), True),
    "average": (lambda: QAveragePooling1D(2), False),
    "maximum": (lambda: QMaxPooling1D(2), False),
}
pytestmark = pytest.mark.filterwarnings("ignore:.*mask.*:UserWarning")


def samples() -> Any:
    x = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype(np.float32)
    x[:, 2:] = 0
    return x


def behind_a_mask(layer: Any) -> keras.Model:
    return keras.Sequential([keras.Input(SHAPE), LAYERS.Masking(name="masking"), layer])


@pytest.mark.parametrize("name", REFUSED)
def test_what_takes_no_mask_says_so_where_the_model_is_made(name: str) -> None:
    make, why = REFUSED[name]
    inputs = keras.Input(SHAPE)
    for build in (lambda: behind_a_mask(make()), lambda: make()(QDense(3)(LAYERS.Masking()(inputs)))):
        with pytest.raises(ConfigError) as error:
            build()
        assert str(error.value) == f"it: takes no mask: {why}. {RECEIVED}"


@pytest.mark.parametrize("name", PASSED)
def test_where_a_mask_passes_or_ends_a_model_trains(name: str) -> None:
    make, passes = PASSED[name]
    model = behind_a_mask(make())
    assert (getattr(model.outputs[0], "_keras_mask", None) is not None) is passes
    x = samples()
    model.compile("sgd", "mse")
    model.fit(x, np.zeros_like(model.predict(x, verbose=0)), verbose=0)


def test_a_mask_that_ends_is_warned_of() -> None:
    with pytest.warns(UserWarning) as warnings:
        behind_a_mask(QConv1D(2, 3, name="it"))
    assert [str(warning.message) for warning in warnings] == [
        "it: the mask that an earlier layer, such as Masking or Embedding(mask_zero=True), makes ends here: it is of "
        "shape (None, 4), and the outputs are of shape (None, 2, 2). Later layers do not see it."
    ]


def test_a_softmax_takes_a_mask_of_its_own_axes() -> None:
    with pytest.raises(ConfigError) as error:
        behind_a_mask(QSoftmax(name="it"))
    assert str(error.value) == (
        "it: a mask has the axes of the inputs. Received: one of shape (None, 4) for inputs of shape (None, 4, 3). "
        f"Allowed: one of the same rank, as an argument of the call. {WITHOUT}"
    )


def test_statistics_take_a_mask_of_axes_that_stay() -> None:
    with pytest.raises(ConfigError) as error:
        behind_a_mask(QEinsumDenseBatchNorm("abc,bd->adc", (5, 3), bias_axes="d", name="it"))
    assert str(error.value) == (
        "it: the mask covers axes ['b'] of 'abc,bd->adc', which the outputs do not have. Received: a mask of rank 2."
    )


def test_a_config_says_it_when_it_is_built() -> None:
    layers = [{"kind": "keras.Masking"}, {"kind": "lstm", "name": "it", "units": 2}]
    config = ModelConfig.parse({"model": {"inputs": {"x": {"shape": list(SHAPE)}}, "layers": layers}})
    with pytest.raises(ConfigError) as error:
        config.build()
    assert f"it: takes no mask: {RUNS}. {RECEIVED}" in str(error.value)


@pytest.mark.parametrize("layer", [LAYERS.LSTM(2, name="it"), LAYERS.GlobalAveragePooling1D(name="it")])
def test_a_conversion_says_it(layer: Any) -> None:
    rules = {"masking": {"kind": "keras.Masking"}, "it": {"input_quantizer": "kif"}}
    with pytest.raises(ConfigError, match="it: takes no mask: "):
        quantize_model(behind_a_mask(layer), rules)


@pytest.mark.parametrize("wrapper", [LAYERS.Bidirectional(QLSTM(2)), LAYERS.Bidirectional(QGRU(2))])
def test_a_wrapper_of_keras_and_a_nested_model_say_it_in_the_first_call(wrapper: Any) -> None:
    nested = keras.Sequential([keras.Input(SHAPE), QDense(3), QLSTM(2)])
    for layer in (wrapper, nested):
        with pytest.raises(ConfigError, match=f"takes no mask: {RUNS}"):
            behind_a_mask(layer)(samples())


def test_verify_gives_no_advice_that_it_then_refuses() -> None:
    x = samples()
    for layer in (LAYERS.GlobalAveragePooling1D(name="it"), LAYERS.Bidirectional(LAYERS.LSTM(2), name="it")):
        with pytest.raises(ExactnessError) as error:
            verify(behind_a_mask(layer), x)
        assert str(error.value) == f"it: {TAKEN} {WITHOUT}"
    with pytest.raises(ExactnessError) as error:
        verify(behind_a_mask(QDense(2, input_quantizer="none")), x)
    assert str(error.value) == f"masking: keras.Masking has no exact arithmetic. {WITHOUT}"


@pytest.mark.parametrize("mask_zero", [True, False])
def test_the_advice_for_a_normalization_is_one_that_works(mask_zero: bool) -> None:
    inputs = keras.Input((4,), dtype="int32")
    x = QEmbedding(5, 3, mask_zero=mask_zero)(inputs)
    model = keras.Model(inputs, QDense(2)(QBatchNormalization(name="it")(x)))
    data = np.random.default_rng(1).integers(0, 5, (16, 4))
    calibrate(model, data)
    if mask_zero:
        with pytest.raises(ExactnessError) as error:
            verify(model, data)
        assert str(error.value) == f"it: {TAKEN} {WITHOUT}"
    else:
        assert verify(model, data).ok


def test_the_advice_for_attention_is_one_that_works() -> None:
    x, mask = keras.Input(SHAPE), keras.Input((1, 4), dtype="bool")
    implicit = LAYERS.Masking()(x)
    model = keras.Model(x, QMultiHeadAttention(1, 2, name="it")(implicit, implicit))
    calibrate(model, samples())
    with pytest.raises(ExactnessError) as error:
        verify(model, samples())
    assert str(error.value) == (
        f"it: {TAKEN} Give it the mask as an argument of its call, from an input of the model, and leave Masking and "
        "mask_zero=True out."
    )
    model = keras.Model([x, mask], QMultiHeadAttention(1, 2)(x, x, attention_mask=mask))
    data = [samples(), np.array([[[True, True, False, False]]] * 8)]
    calibrate(model, data)
    assert verify(model, data).ok
