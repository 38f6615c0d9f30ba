"""KBI and KIF that wrap: a range is tracked and calibrated, or follows the weights; docs/numerics.md#3 and #9."""

from __future__ import annotations

import numpy as np
import pytest
from arrays import numpy_of
from quantizing import BOTH, NAMES, activation, array, build, calibrate, number, run, tensor

from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.phase import calibrating
from hgq2_fixed_point import KBI, quantize
from hgq2_fixed_point.ranges import DynamicRange, LearnedRange

# Activations that wrap: tracking in training.


@BOTH
def test_the_range_grows_at_once_and_sinks_by_the_decay(kind):
    quantizer = activation(kind(overflow_mode="WRAP", granularity="tensor", i=0, i_decay=0.25), 1)
    seen = []
    for value in (5.0, 0.25, 0.25, 3.0, 0.25, 0.25):
        run(quantizer, [[value]], training=True)
        seen.append(number(quantizer.i))
    assert seen == [3.0, 2.75, 2.5, 2.25, 2.0, 1.75]
    run(quantizer, [[4.5]], training=True)
    assert number(quantizer.i) == 3.0


@BOTH
def test_the_range_sinks_no_further_than_the_values_need(kind):
    quantizer = activation(kind(overflow_mode="WRAP", granularity="tensor", i=2, i_decay=0.75), 1)
    for _ in range(5):
        run(quantizer, [[0.75]], training=True)
    assert number(quantizer.i) == 0.0


@BOTH
def test_bounds_apply_to_the_tracked_range(kind):
    """docs/numerics.md#9.11: KIF ignored them."""
    quantizer = activation(kind(overflow_mode="WRAP", i=0, i_bounds=(-1, 2), i_decay=5.0), 2)
    run(quantizer, [[100.0, 0.001953125]], training=True)
    assert numpy_of(quantizer.i).tolist() == [[2.0, -1.0]]


@BOTH
def test_training_rounds_and_does_not_wrap(kind):
    quantizer = activation(kind(overflow_mode="WRAP", i=0, i_bounds=(-1, 1), granularity="tensor"), 1)
    (trained,) = run(quantizer, [[40.0]], training=True)[0].tolist()
    assert trained == 40.0
    (inferred,) = run(quantizer, [[40.0]])[0].tolist()
    assert inferred == 0.0  # 40 mod 4


@BOTH
def test_the_range_is_updated_first_then_used(kind):
    width = {"b": 3} if kind is KBI else {"f": 0}
    quantizer = activation(kind(overflow_mode="WRAP", i=0, granularity="tensor", **width), 1)
    assert run(quantizer, [[5.6]], training=True).tolist() == [[6.0]]
    assert run(quantizer, [[5.6]]).tolist() == [[6.0]]


@BOTH
def test_the_sign_appears_with_the_first_negative_value_and_stays(kind):
    quantizer = activation(kind(k=0, overflow_mode="WRAP", granularity="tensor"), 1)
    seen = []
    for value in (1.0, 0.0, -1.0, 1.0):
        run(quantizer, [[value]], training=True)
        seen.append(number(quantizer.k))
    assert seen == [0.0, 0.0, 1.0, 1.0]


@BOTH
def test_the_first_negative_value_is_held_at_once(kind):
    quantizer = activation(kind(k=0, i=-3, overflow_mode="WRAP", granularity="tensor"), 1)
    assert run(quantizer, [[-5.0]], training=True).tolist() == [[-5.0]]
    assert number(quantizer.i) == 3.0
    assert run(quantizer, [[-5.0]]).tolist() == [[-5.0]]


@BOTH
def test_a_negative_value_that_rounds_to_zero_brings_no_sign(kind):
    quantizer = activation(kind(k=0, overflow_mode="WRAP", granularity="tensor"), 2)
    run(quantizer, [[-0.001, 100.0]], training=True)  # steps 2^-6 and 2^-1
    assert number(quantizer.k) == 0.0


@BOTH
def test_inference_moves_no_state(kind):
    quantizer = activation(kind(overflow_mode="WRAP"), 1)
    before = [numpy_of(variable).tolist() for variable in quantizer.variables]
    run(quantizer, [[100.0]])
    assert [numpy_of(variable).tolist() for variable in quantizer.variables] == before


@BOTH
def test_the_tracked_range_is_state_and_no_weight(kind):
    quantizer = activation(kind(overflow_mode="WRAP"), 2)
    trained = NAMES[kind][0] if kind is KBI else NAMES[kind][1]
    assert [variable.name for variable in quantizer.trainable_variables] == [trained]
    assert sorted(variable.name for variable in quantizer.non_trainable_variables) == ["calibration_record", "i", "k"]


# Calibration.


@BOTH
def test_calibration_starts_from_the_lower_bound(kind):
    quantizer = activation(kind(i=7, overflow_mode="WRAP", i_bounds=(-5, 20)), 3)
    calibrate(quantizer, [[0.75, 0.0, 6.0]])
    assert numpy_of(quantizer.i).tolist() == [[0.0, -5.0, 3.0]]
    assert numpy_of(quantizer.k).tolist() == [[0.0, 0.0, 0.0]]


@BOTH
def test_one_pass_over_negative_values_suffices(kind):
    quantizer = activation(kind(overflow_mode="WRAP"), 1)
    quantizer.range.reset()
    with calibrating():
        run(quantizer, [[-5.0]])
    assert (number(quantizer.i), number(quantizer.k)) == (3.0, 1.0)


@BOTH
def test_calibration_never_narrows_the_range(kind):
    quantizer = activation(kind(overflow_mode="WRAP", i_decay=1.0), 1)
    quantizer.range.reset()
    with calibrating():
        for value in (5.0, 0.25, 0.25):
            run(quantizer, [[value]])
    assert number(quantizer.i) == 3.0


@BOTH
def test_an_untrainable_quantizer_is_calibrated(kind):
    """docs/numerics.md#9.18."""
    quantizer = activation(kind(i=0, overflow_mode="WRAP", trainable=False), 1)
    assert quantizer.trainable_variables == []
    calibrate(quantizer, [[-9.0]])
    assert number(quantizer.i) == 4.0
    assert run(quantizer, [[-9.0]]).tolist() == [[-9.0]]


@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "SAT_ZERO"])
@BOTH
def test_saturating_activations_are_not_calibrated(kind, overflow_mode):
    quantizer = activation(kind(overflow_mode=overflow_mode, i=1), 1)
    assert isinstance(quantizer.range, LearnedRange)
    with calibrating():
        run(quantizer, [[100.0]])
    assert number(quantizer.i) == 1.0


@BOTH
def test_margin_widens_within_the_bounds(kind):
    quantizer = activation(kind(overflow_mode="WRAP", i_bounds=(-5, 4)), 2)
    calibrate(quantizer, [[0.75, 6.0]])
    quantizer.range.widen(2)
    assert numpy_of(quantizer.i).tolist() == [[2.0, 4.0]]


# Weights, biases and tables that wrap.


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("role", ["weight", "bias"])
def test_wrapping_weights_follow_their_present_values(role, training):
    quantizer = build(KBI(b=4, overflow_mode="WRAP", i_bounds=(-8, 8)), (3,), role)
    assert isinstance(quantizer.range, DynamicRange)
    assert [variable.name for variable in quantizer.variables] == ["b"]
    for values, i in (([3.3, -0.3, 0.0], [2, -1, -8]), ([0.3, -8.0, 100.0], [-1, 3, 7])):
        x = array(values)
        assert numpy_of(quantizer.format(tensor(x))["i"]).tolist() == i
        wanted = [float(quantize(np.float64(v), 1, n, 4 - n, "RND", "SAT")) for v, n in zip(x, i, strict=True)]
        assert run(quantizer, x, training).tolist() == wanted


@pytest.mark.parametrize("training", [False, True])
def test_a_wrapping_table_follows_all_its_entries(training):
    quantizer = KBI(b=4, overflow_mode="WRAP", granularity="element").build(Slot("table", "table"))
    quantizer.build((None, 2))
    x = array([[3.3, -0.3], [0.1, 0.1], [-1.0, 0.0]])
    assert numpy_of(quantizer.format(tensor(x))["i"]).tolist() == [[2, -1]]
    assert numpy_of(quantizer.bits(tensor(x))).tolist() == [4.0, 4.0]
    assert run(quantizer, x, training).tolist() == [[3.25, -0.3125], [0.0, 0.09375], [-1.0, 0.0]]


@BOTH
@pytest.mark.parametrize("training", [False, True])
def test_wrapping_weights_saturate_beyond_their_bound(kind, training):
    fields = {"b": 4} if kind is KBI else {"f": 3}
    quantizer = build(kind(overflow_mode="WRAP", i=0, i_bounds=(-8, 1), **fields), (4,))
    assert run(quantizer, [3.0, -3.0, 1.9, -2.0], training).tolist() == [1.875, -2.0, 1.875, -2.0]
