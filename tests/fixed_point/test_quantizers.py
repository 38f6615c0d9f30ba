"""KBI and KIF: trained bits, saving, refused fields, the range for reports; docs/numerics.md#1, #4, #7 and #9."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from quantizing import BOTH, NAMES, activation, array, build, number, run, tensor

from hgq2_core import ConfigError
from hgq2_core.diagnosis.gradients import gradients
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exact.rounding import rounded as exact_rounding
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.phase import calibrating
from hgq2_fixed_point import KBI, KIF
from hgq2_fixed_point.modes import DETERMINISTIC, ROUND_MODES

# Training the bits.


@BOTH
def test_steps_keep_the_bits_within_their_bounds(kind):
    first, second = NAMES[kind]
    bounds = {f"{first}_bounds": (0, 9), f"{second}_bounds": (-4, 11)}
    quantizer = build(kind(overflow_mode="SAT", **bounds), (2,))
    variables = [getattr(quantizer, name) for name in (first, second)]
    optimizer = keras.optimizers.SGD(100.0)
    optimizer.apply([tensor([1, -1])] * 2, variables)
    assert [numpy_of(variable).tolist() for variable in variables] == [[0.0, 9.0], [-4.0, 11.0]]


def costs_of(quantizer, *shape):
    """What a model of this quantizer alone adds to its loss."""
    model = keras.Sequential([keras.Input(shape), quantizer])
    model(np.zeros((2, *shape)))
    return sum(float(numpy_of(loss)) for loss in model.losses)


@BOTH
def test_regularizers_add_their_coefficient_times_the_bits(kind):
    first, second = NAMES[kind]
    config = kind(overflow_mode="SAT", **{f"{first}_regularizer": 0.25, f"{second}_regularizer": 0.5})
    quantizer = activation(config, 2, 3)
    getattr(quantizer, first).assign(array([[[1, 2, 3], [4, 5, 6]]]))
    getattr(quantizer, second).assign(array([[[-1, 2, -3], [4, 5, 7]]]))
    assert costs_of(quantizer, 2, 3) == 0.25 * 21 + 0.5 * 14


@BOTH
def test_shared_bits_cost_once(kind):
    first, _ = NAMES[kind]
    config = kind(overflow_mode="SAT", granularity="tensor", **{f"{first}_regularizer": 0.25})
    assert costs_of(activation(config, 2, 3), 2, 3) == 0.25 * getattr(config, first)


@BOTH
def test_a_tracked_range_costs_nothing(kind):
    assert costs_of(activation(kind(overflow_mode="WRAP", i_regularizer=0.5), 3), 3) == 0.0


def test_no_regularizer_no_loss():
    assert costs_of(activation(KBI(overflow_mode="SAT"), 2), 2) == 0.0


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (KBI(b=0, i=0, overflow_mode="SAT_SYM"), "b"),
        (KBI(k=0, b=0, i=0, overflow_mode="SAT"), "b"),
        (KIF(k=0, i=0, f=0, overflow_mode="SAT"), "f"),
        (KIF(k=0, i=0, f=-2, overflow_mode="SAT_SYM"), "f"),
    ],
)
def test_pruned_elements_are_zero_and_come_back(config, name):
    quantizer = build(config, (1,))
    variable = getattr(quantizer, name)
    optimizer = keras.optimizers.SGD(1.0)
    x = tensor([0.9])
    for training in (False, True):
        assert run(quantizer, [0.9], training).tolist() == [0.0]
    first = number(variable)
    for _ in range(40):
        found = gradients(lambda: keras.ops.sum((quantizer.quantize(x, True) - x) ** 2), [variable])
        optimizer.apply([tensor(each) for each in found], [variable])
    assert number(variable) > first
    assert 0 < run(quantizer, [0.9])[0] <= 1


@pytest.mark.once
@pytest.mark.parametrize(
    ("config", "trained"),
    [
        (KBI(trainable=["b"]), ["b"]),
        (KBI(trainable=["i"]), ["i"]),
        (KIF(trainable=["f"], f_regularizer=1.0, i_regularizer=1.0), ["f"]),
        (KIF(trainable=["f", "i"]), ["f", "i"]),
        (KIF(trainable=[]), []),
    ],
)
def test_one_field_may_be_trained_alone(config, trained):
    quantizer = build(config, (2,))
    assert [variable.name for variable in quantizer.trainable_variables] == trained
    assert [variable.name for _, variable in quantizer.costs] == [
        name for name in trained if getattr(config, f"{name}_regularizer")
    ]


@pytest.mark.once
def test_a_field_of_the_other_kind_is_refused():
    with pytest.raises(ConfigError) as error:
        KBI(trainable=["f"])
    assert str(error.value) == "KBI: trainable.0: not allowed. Received: 'f' (str). Allowed: 'b', 'i'."


@BOTH
@pytest.mark.once
def test_a_range_that_follows_is_no_field_to_train(kind):
    with pytest.raises(ConfigError) as error:
        build(kind(overflow_mode="WRAP", trainable=["i"]), (2,))
    assert str(error.value).endswith(
        "trainable names i, which follows the values where they wrap, and no gradient. Received: trainable=['i'], "
        "overflow_mode='WRAP'. Leave i out, or use a saturating mode."
    )


@BOTH
def test_untrainable_bits_get_no_gradient(kind):
    quantizer = build(kind(overflow_mode="SAT", trainable=False), (2,))
    assert quantizer.trainable_variables == []
    assert run(quantizer, [0.25, 100.0])[0] == 0.25


# Saving.


@BOTH
@pytest.mark.parametrize("overflow_mode", ["WRAP", "SAT", "WRAP_SM"])
@pytest.mark.parametrize("granularity", ["tensor", (-1,)])
def test_config_survives(kind, overflow_mode, granularity):
    modes = {"overflow_mode": overflow_mode, "round_mode": "RND_CONV", "granularity": granularity}
    config = kind(k=1, i=1.5, i_decay=0.125, i_bounds=(-3, 9), **modes)
    slot = Slot("activation", "input", "somewhere", (1, 2))
    quantizer = config.build(slot)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(quantizer))
    assert type(again) is type(quantizer)
    assert again.config == config
    assert again.slot == slot
    assert again.get_config() == quantizer.get_config()


@BOTH
def test_as_a_keras_layer_it_quantizes(kind):
    quantizer = activation(kind(overflow_mode="SAT", granularity="tensor"), 2)
    assert numpy_of(quantizer(tensor([[0.3, -0.3]]))).tolist() == run(quantizer, [[0.3, -0.3]]).tolist()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"overflow_mode": "WRAPP"}, "overflow_mode"),
        ({"round_mode": "RNDD"}, "round_mode"),
        ({"k": 2}, "k"),
        ({"i": "2"}, "i"),
        ({"i": True}, "i"),
        ({"i": float("nan")}, "i"),
        ({"i": 99.0}, "i_bounds"),
        ({"i_bounds": (3, 1)}, "i_bounds"),
        ({"granularity": "chanel"}, "granularity"),
        ({"i_regularizer": -1.0}, "i_regularizer"),
        ({"bits": 3}, "unknown field 'bits'"),
        ({"overflow_mode": "WRAP_SM", "round_mode": "TRN"}, "WRAP_SM"),
        ({"overflow_mode": "WRAP_SM", "k": 0}, "WRAP_SM"),
    ],
)
@BOTH
def test_a_wrong_field_is_refused_at_once(kind, fields, message):
    with pytest.raises(ConfigError, match=message):
        kind(**fields)


def test_a_half_bit_is_rounded_before_the_step_is_taken():
    """b = 2.5 is 2, so with i = 1 the step is 1/2, not the 1/4 of round(2.5 - 1): -0.2 rounds to 0, without a sign."""
    config = KBI(k=0, b=2.5, i=0, round_mode="RND", overflow_mode="WRAP", granularity="tensor")
    quantizer = config.build(Slot("activation"))
    quantizer.build((None, 2))
    with calibrating():
        quantizer.quantize(tensor([[1.4, -0.2]]))
    assert quantizer.format()["k"].tolist() == [[0]]
    assert quantizer.format()["i"].tolist() == [[1]]


# The range, for reports.


@pytest.mark.parametrize("round_mode", ROUND_MODES)
@pytest.mark.parametrize("overflow_mode", ["WRAP", "SAT", "SAT_SYM", "SAT_ZERO"])
@pytest.mark.parametrize("k", [0, 1])
def test_what_is_out_of_range_is_decided_on_the_rounded_value(k, overflow_mode, round_mode):
    quantizer = activation(KIF(k=k, round_mode=round_mode, overflow_mode=overflow_mode), 4)
    i, f = np.array([[2, 0, -1, 3]]), np.array([[1, 3, 2, -1]])
    quantizer.i.assign(i)
    quantizer.f.assign(f)
    x = np.linspace(-10, 10, 4 * 641, dtype=np.float32).reshape(-1, 4)  # in steps of 1/32, so half steps too
    x = np.rint(x * 32) / np.float32(32)
    check = quantizer.check_range(x)
    step, high = 0.5**f, 2.0**i - 0.5**f
    low = -k * (high if overflow_mode == "SAT_SYM" else 2.0**i)
    np.testing.assert_array_equal(check.low, low)
    np.testing.assert_array_equal(check.high, high)
    rounded = to_float(exact_rounding(from_float(x), f, DETERMINISTIC.get(round_mode, round_mode))[1])
    assert np.any(np.abs(rounded - x) == step / 2)
    np.testing.assert_array_equal(check.outside, (rounded < low) | (rounded > high))


def test_a_weight_that_wraps_is_out_of_range_beyond_the_bound_on_its_integer_bits():
    quantizer = build(KBI(b=4, i_bounds=(-2, 2), overflow_mode="WRAP"), (3,))
    check = quantizer.check_range(array([3.6, -4.0, 5.0]))
    np.testing.assert_array_equal(check.outside, [False, False, True])
    np.testing.assert_array_equal(check.high, [3.75] * 3)
