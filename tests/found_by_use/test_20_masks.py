"""Every layer behind a mask that Keras hands on trains, or says where the model is made that it takes none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_attention import QMultiHeadAttention, QSoftmax
from hgq2_core import ConfigError, ExactnessError, calibrate, doctor, load_model, quantize_model, summary, verify
from hgq2_core.config.model import ModelConfig
from hgq2_layers import (
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
    QSum,
)

LAYERS = keras.layers
SHAPE = (4, 3)
WITHOUT = "Let the padding be zeros in the data, and leave Masking and mask_zero=True out."
RECEIVED = f"Received: one, which an earlier layer, such as Masking or Embedding(mask_zero=True), makes. {WITHOUT}"
SPIKES = "a circuit runs all its steps, from a membrane of zero"

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "spiking": (lambda: QIntegrateAndFire(name="it"), SPIKES),
    "leaky": (lambda: QLeakyIntegrateAndFire(0.5, name="it"), SPIKES),
    "mean": (
        lambda: QGlobalAveragePooling1D(name="it"),
        "without masked=True all positions count in its mean, where Keras' own leaves the masked ones out",
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
    layers = [{"kind": "keras.Masking"}, {"kind": "global_average_pooling1d", "name": "it"}]
    config = ModelConfig.parse({"model": {"inputs": {"x": {"shape": list(SHAPE)}}, "layers": layers}})
    with pytest.raises(ConfigError) as error:
        config.build()
    assert f"it: takes no mask: {REFUSED['mean'][1]}. {RECEIVED}" in str(error.value)


STATED: dict[str, Callable[[], Any]] = {
    "lstm": lambda: LAYERS.LSTM(3, return_sequences=True, name="it"),
    "both directions": lambda: LAYERS.Bidirectional(LAYERS.GRU(2, return_sequences=True), name="it"),
    "mean": lambda: LAYERS.GlobalAveragePooling1D(name="it"),
}


@pytest.mark.parametrize("name", STATED)
def test_what_is_converted_takes_the_mask(name: str) -> None:
    model = keras.Sequential([keras.Input(SHAPE), LAYERS.Masking(name="masking"), STATED[name](), LAYERS.Dense(2)])
    x = samples()
    converted = quantize_model(model)
    calibrate(converted, x)
    report = verify(converted, x)
    assert report.ok, str(report)


def test_a_nested_model_whose_layers_take_the_mask_is_refused() -> None:
    nested = keras.Sequential([keras.Input(SHAPE), QDense(3, name="inner"), QLSTM(2, name="taker")], name="nested")
    model, x = behind_a_mask(nested), samples()
    calibrate(model, x)
    with pytest.raises(ExactnessError) as error:
        verify(model, x)
    assert str(error.value) == (
        "nested: taker inside takes the mask that an earlier layer, such as Masking or Embedding(mask_zero=True), "
        "makes outside, which does not enter the graph of a nested model. Put its layers into the outer model, or what "
        "makes the mask into nested."
    )


def test_what_rounds_with_a_mask_names_what_does_not() -> None:
    with pytest.raises(ExactnessError) as error:
        verify(behind_a_mask(LAYERS.GlobalAveragePooling1D(name="it")), samples())
    assert str(error.value) == (
        "it: GlobalAveragePooling1D divides by the count of what a mask leaves, which rounds. "
        "Use QGlobalAveragePooling1D with masked=True in its place."
    )


def test_a_masked_model_is_saved_and_loaded(tmp_path: Path) -> None:
    model, x = behind_a_mask(QLSTM(2, name="it")), samples()
    calibrate(model, x)
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert doctor(again, x).ok


@pytest.mark.parametrize("form", [lambda x: (x,), lambda x: ([x, x],), lambda x: (x, x)])
def test_attention_finds_the_mask_however_it_is_called(form: Any) -> None:
    inputs = keras.Input((4,), dtype="int32")
    x = QBatchNormalization(name="norm")(QEmbedding(5, 4, mask_zero=True, name="rows")(inputs))
    x = QMultiHeadAttention(2, 2, name="attention")(*form(x))
    model = keras.Model(inputs, QDense(2, name="last")(QGlobalAveragePooling1D(masked=True, name="mean")(x)))
    data = np.random.default_rng(1).integers(1, 5, (64, 4))
    data[:, 2:] = 0
    calibrate(model, data)
    report = verify(model, data)
    assert report.ok, str(report)
    assert not any(line.startswith("not_equal") for line in [row.name for row in summary(model).layers])
    assert doctor(model, data).ok
    changed = model.get_layer("rows").embeddings
    before = model.predict(data, verbose=0)
    changed.assign(keras.ops.concatenate([changed[:1] + 1.0, changed[1:]]))
    assert np.array_equal(model.predict(data, verbose=0), before)
