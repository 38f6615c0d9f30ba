"""Masks, further tensors and options of a call reach the exact statement; several outputs are each compared."""

from __future__ import annotations

from typing import Unpack

import keras
import numpy as np
import pytest

from hgq2_core import ExactnessError, QLayer, calibrate, freeze, verify
from hgq2_core.layers.arguments import LayerKwargs, QuantizerArg
from hgq2_core.model.verification import required_bits
from hgq2_layers import QDense


class Gated(QLayer):
    """(q(x) + q(other), q(x)), each 0 where the mask is false, negated on request."""

    def __init__(self, input_quantizer: QuantizerArg = None, **kwargs: Unpack[LayerKwargs]):
        super().__init__(**kwargs)
        self.input_quantizer = self.add_quantizer(input_quantizer, "activation", "input")

    def build(self, x_shape, other_shape=None, mask_shape=None):
        self.input_quantizer.build(x_shape)
        self.built = True

    def call(self, x, other=None, mask=None, negated=False, training=None):
        x = self.input_quantizer.quantize(x, bool(training))
        total = x if other is None else x + self.input_quantizer.quantize(other, bool(training))
        total, x = (-total, -x) if negated else (total, x)
        return (total, x) if mask is None else (keras.ops.where(mask, total, 0.0), keras.ops.where(mask, x, 0.0))

    def exact(self, arrays, x, other=None, mask=None, negated=False):
        x = self.input_quantizer.exact(arrays, x)
        total = x if other is None else arrays.add(x, self.input_quantizer.exact(arrays, other))
        outputs = [arrays.negate(each) if negated else each for each in (total, x)]
        zero = arrays.constant(0)
        return outputs if mask is None else [arrays.select(mask, each, zero) for each in outputs]

    def ebops(self):
        return keras.ops.sum(self.input_quantizer.bits())


class WrongSecond(Gated):
    def exact(self, arrays, x, other=None, mask=None, negated=False):
        first, second = super().exact(arrays, x, other, mask, negated)
        return [first, arrays.negate(second)]


class NoMask(Gated):
    def exact(self, arrays, x, other=None):
        return super().exact(arrays, x, other)


class TakesMask(QDense):
    def call(self, inputs, mask=None, training=None):
        return super().call(inputs, training=training)


@pytest.fixture
def made():
    """A calibrated model of one layer that is called with everything, and its data."""

    def make(cls, constant=None):
        x, other, mask = keras.Input((4,), name="x"), keras.Input((4,), name="o"), keras.Input((4,), dtype="bool")
        inputs = [x, other] if constant is not None else [x, other, mask]
        given = mask if constant is None else constant
        model = keras.Model(inputs, cls(name="gated")(x, other=other, mask=given, negated=True))
        rng = np.random.default_rng(0)
        data = [rng.normal(size=(200, 4)).astype("float32") for _ in range(2)]
        data = data if constant is not None else [*data, rng.random((200, 4)) < 0.5]
        calibrate(model, data)
        return model, data

    return make


@pytest.mark.parametrize("constant", [None, np.array([[True, False, True, True]])], ids=["input", "constant"])
def test_what_a_call_says_by_keyword_is_interpreted(made, constant):
    model, data = made(Gated, constant)
    report = verify(model, data)
    assert (report.mismatches, report.samples, report.layers[0].values) == (0, 200, 2 * 4 * 200)
    total, x = model.predict(data, verbose=0)
    mask = np.broadcast_to(constant, x.shape) if constant is not None else data[2]
    assert (x[~mask] == 0).all()
    assert (x[mask] * data[0][mask] <= 0).all() and (total != x).any()


def test_a_mask_is_one_bit_to_intervals(made):
    model, _ = made(Gated)
    assert 8 <= required_bits(freeze(model))["gated"] <= 12


def test_every_output_is_compared(made):
    model, data = made(WrongSecond)
    report = verify(model, data)
    assert (report.first_faulty, report.mismatches > 0) == ("gated", True)


def test_a_keyword_that_no_statement_takes_is_refused(made):
    model, data = made(NoMask)
    with pytest.raises(ExactnessError) as error:
        verify(model, data)
    assert str(error.value) == "gated: NoMask states no exact arithmetic for mask, negated of its call."


def test_masks_that_keras_hands_on_by_itself_are_refused_by_name():
    x = keras.Input((3, 4))
    model = keras.Model(x, TakesMask(2, name="taker")(keras.layers.Masking()(x)))
    data = np.ones((8, 3, 4), np.float32)
    calibrate(model, data)
    with pytest.raises(ExactnessError) as error:
        verify(model, data)
    assert str(error.value) == (
        "taker: it takes the mask that an earlier layer, such as Masking or Embedding(mask_zero=True), makes, which is "
        "no part of its exact arithmetic. Let the padding be zeros in the data, and leave Masking and mask_zero=True "
        "out."
    )
