"""KBI and KIF as Keras quantizers: bit variables, ranges, cost; docs/numerics.md#1, #3, #4, #7 and #9."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core import ConfigError
from hgq2_core.diagnosis.gradients import gradients
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exact.rounding import rounded as exact_rounding
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.phase import calibrating
from hgq2_fixed_point import KBI, KIF, quantize
from hgq2_fixed_point.modes import DETERMINISTIC, ROUND_MODES
from hgq2_fixed_point.ranges import DynamicRange, LearnedRange

BOTH = pytest.mark.parametrize("kind", [KBI, KIF])
NAMES = {KBI: ("b", "i"), KIF: ("i", "f")}


def build(config, shape, role="weight", **slot):
    quantizer = config.build(Slot(role, "slot", "layer", **slot))
    quantizer.build(shape)
    return quantizer


def activation(config, *shape):
    return build(config, (None, *shape), "activation")


def array(values):
    return np.asarray(values, dtype=np.float32)


def tensor(values):
    return keras.ops.convert_to_tensor(array(values))


def run(quantizer, values, training=False):
    return numpy_of(quantizer.quantize(tensor(values), training))


def calibrate(quantizer, values):
    """What hgq2_core.calibrate does to one quantizer: pass over the data until nothing moves."""
    quantizer.range.reset()
    for _ in range(3):
        with calibrating():
            run(quantizer, values)


def number(variable):
    (value,) = numpy_of(variable).reshape(-1).tolist()
    return value


# Granularity.


@BOTH
@pytest.mark.parametrize(
    ("granularity", "shape"),
    [
        ("tensor", (1, 1, 1)),
        ("channel", (1, 1, 3)),
        ("element", (1, 4, 3)),
        ((1,), (1, 4, 1)),
        ((-1,), (1, 1, 3)),
        ((2, 1), (1, 4, 3)),
        ((), (1, 1, 1)),
    ],
)
def test_activations_share_the_batch(kind, granularity, shape):
    quantizer = activation(kind(granularity=granularity, overflow_mode="WRAP"), 4, 3)
    assert {name: tuple(getattr(quantizer, name).shape) for name in (*NAMES[kind], "k")} == dict.fromkeys(
        (*NAMES[kind], "k"), shape
    )


@BOTH
@pytest.mark.parametrize(
    ("granularity", "shape"),
    [("tensor", (1, 1)), ("channel", (1, 3)), ("element", (4, 3)), ((0,), (4, 1)), ((-2, -1), (4, 3))],
)
def test_weights_may_have_bits_on_every_axis(kind, granularity, shape):
    quantizer = build(kind(granularity=granularity), (4, 3))
    assert [tuple(getattr(quantizer, name).shape) for name in NAMES[kind]] == [shape, shape]


@BOTH
def test_the_slot_says_which_axes_are_the_channel(kind):
    quantizer = build(kind(granularity="channel"), (4, 3, 5), channel_axes=(0, 2))
    assert tuple(quantizer.i.shape) == (4, 1, 5)


@BOTH
@pytest.mark.parametrize("granularity", [(0,), (-3,), (0, 2)])
def test_the_batch_axis_is_refused(kind, granularity):
    with pytest.raises(ConfigError, match=r"layer\.slot: the batch axis"):
        activation(kind(granularity=granularity), 4, 3)


@BOTH
def test_an_axis_with_bits_needs_a_static_size(kind):
    with pytest.raises(ConfigError) as caught:
        activation(kind(granularity="element"), None, 3)
    for part in ("layer.slot", "axis 1", "(None, None, 3)"):
        assert part in str(caught.value)


@BOTH
def test_a_shared_axis_may_be_dynamic(kind):
    quantizer = activation(kind(granularity="channel", overflow_mode="SAT"), None, 3)
    assert tuple(quantizer.i.shape) == (1, 1, 3)
    assert run(quantizer, np.full((2, 7, 3), 0.25)).tolist() == np.full((2, 7, 3), 0.25).tolist()


def test_each_element_is_quantized_with_its_own_bits():
    quantizer = build(KIF(granularity="element", overflow_mode="SAT"), (2, 2))
    quantizer.i.assign(array([[0, 1], [2, 3]]))
    quantizer.f.assign(array([[3, 2], [1, 0]]))
    x = array([[9.3, 9.3], [-9.3, 1.6]])
    assert run(quantizer, x).tolist() == [[0.875, 1.75], [-4.0, 2.0]]


# Bits that the cost counts.


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize(
    ("overflow_mode", "sign"), [("WRAP", 0), ("WRAP_SM", 0), ("SAT_SYM", 0), ("SAT", 1), ("SAT_ZERO", 1)]
)
def test_bits_of_kbi(overflow_mode, sign, k):
    if overflow_mode == "WRAP_SM" and not k:
        pytest.skip("WRAP_SM is signed")
    quantizer = build(KBI(k=k, overflow_mode=overflow_mode, b_bounds=(-9, 24)), (7,))
    quantizer.b.assign(array([-3, -1, 0, 0.5, 1.5, 2.5, 7.6]))
    width = np.array([-3, -1, 0, 0, 2, 2, 8])
    assert numpy_of(quantizer.bits(tensor([0.3] * 7))).tolist() == np.maximum(width + sign * k, 0).tolist()


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize(("overflow_mode", "sign"), [("SAT_SYM", 0), ("SAT", 1), ("SAT_ZERO", 1)])
def test_bits_of_kif(overflow_mode, sign, k):
    quantizer = build(KIF(k=k, overflow_mode=overflow_mode), (6,))
    quantizer.i.assign(array([-3, 0.5, 1.5, 2, -1, 3]))  # each is rounded half to even, then added
    quantizer.f.assign(array([1, 0.5, 2.5, 3, 1, -4]))
    width = np.array([-2, 0, 4, 5, 0, -1])
    assert numpy_of(quantizer.bits()).tolist() == np.maximum(width + sign * k, 0).tolist()


@BOTH
def test_bits_have_the_shape_of_one_sample(kind):
    quantizer = activation(kind(granularity="tensor", overflow_mode="SAT_SYM"), 4, 3)
    assert numpy_of(quantizer.bits()).tolist() == [[8.0] * 3] * 4


def test_bits_of_a_wrapping_activation_follow_its_range():
    quantizer = activation(KIF(f=3, granularity="element", overflow_mode="WRAP"), 2)
    calibrate(quantizer, [[0.5, -5.0], [1.5, 1.0]])
    assert numpy_of(quantizer.bits()).tolist() == [1 + 3, 3 + 3]


def test_bits_of_a_wrapping_weight_follow_its_values():
    quantizer = build(KIF(f=3, overflow_mode="WRAP", i_bounds=(-8, 8)), (4,))
    assert numpy_of(quantizer.bits(tensor([0.5, -5.0, 0.0, -0.25]))).tolist() == [0 + 3, 3 + 3, 0, -2 + 3]


def test_bits_below_zero_have_no_gradient():
    quantizer = build(KBI(b_bounds=(-9, 24), overflow_mode="SAT_SYM"), (4,))
    quantizer.b.assign(array([-2, 0, 1, 8]))
    (gradient,) = gradients(lambda: keras.ops.sum(quantizer.bits()), [quantizer.b])
    assert gradient.tolist() == [0.0, 0.0, 1.0, 1.0]


# The smallest i that holds every value after rounding.

POINTS = array(
    [0.25, 0.5, 0.4999, 1.0, -1.0, -0.5, 3.75, 3.9, 4.0, -4.0, -4.1, 7.99, -8.0, 8.0, 0.3, -100.7, 63.5, 1e-3]
)


def smallest_for_fraction(x, k, f, round_mode):
    """By trying: the first i that changes nothing beside 40 integer bits; None where nothing is nonzero."""
    wide = quantize(x, k, 40, f, round_mode, "SAT")
    if not wide.any():
        return None
    return next(i for i in range(-40, 41) if (quantize(x, k, i, f, round_mode, "SAT") == wide).all())


def smallest_for_width(x, b, round_mode):
    def holds(i):
        return (quantize(x, 1, i, b - i, round_mode, "SAT") == quantize(x, 1, 50, b - i, round_mode, "SAT")).all()

    # Not monotone below: with a coarse step everything may round to 0 or stay; from 2^i > |x| on, all hold.
    i = 20
    while holds(i - 1) and i > -30:
        i -= 1
    return i


@pytest.mark.parametrize("round_mode", ROUND_MODES)
@pytest.mark.parametrize("f", [-1, 0, 1, 3])
def test_kif_holds_its_values_with_the_fewest_bits(f, round_mode):
    quantizer = activation(KIF(f=f, round_mode=round_mode, overflow_mode="WRAP", granularity="element"), len(POINTS))
    calibrate(quantizer, POINTS[None])
    wanted = [-23 if (best := smallest_for_fraction(np.float64(x), 1, f, round_mode)) is None else best for x in POINTS]
    assert numpy_of(quantizer.i)[0].tolist() == wanted
    wide = [float(quantize(np.float64(x), 1, 40, f, round_mode, "SAT")) for x in POINTS]
    assert run(quantizer, POINTS[None])[0].tolist() == wide  # nothing wraps


@pytest.mark.parametrize("round_mode", ROUND_MODES)
@pytest.mark.parametrize("b", [1, 3, 6])
def test_kbi_holds_its_values_with_the_fewest_bits(b, round_mode):
    quantizer = activation(KBI(b=b, round_mode=round_mode, overflow_mode="WRAP", granularity="element"), len(POINTS))
    calibrate(quantizer, POINTS[None])
    assert numpy_of(quantizer.i)[0].tolist() == [smallest_for_width(np.float64(x), b, round_mode) for x in POINTS]


@pytest.mark.parametrize(("kind", "width"), [(KBI, {"b": 4}), (KIF, {"f": 4})])
@pytest.mark.parametrize(("value", "i"), [(-8.0, 3), (8.0, 4), (-8.5, 4), (7.0, 3), (-0.25, -2), (0.25, -1)])
def test_a_negative_power_of_two_needs_no_further_bit(kind, width, value, i):
    quantizer = activation(kind(overflow_mode="WRAP", **width), 1)
    calibrate(quantizer, [[value]])
    assert number(quantizer.i) == i


def test_kbi_rounding_carries_into_the_next_integer_bit():
    # 4 bits: 15.4 fits as 15 · 2^0 with i = 4; 15.6 rounds to 16, which does not, and takes i = 5.
    for value, i in ((15.4, 4), (15.6, 5)):
        quantizer = activation(KBI(b=4, overflow_mode="WRAP"), 1)
        calibrate(quantizer, [[value]])
        assert number(quantizer.i) == i
        assert run(quantizer, [[value]]).tolist() == [[15.0 if i == 4 else 16.0]]


def test_the_range_is_that_of_all_values_that_share_the_bits():
    quantizer = activation(KIF(f=2, overflow_mode="WRAP", granularity="channel"), 2, 2)
    calibrate(quantizer, [[[0.5, -9.0], [3.0, 0.0]], [[-1.0, 2.0], [0.25, 1.0]]])
    assert numpy_of(quantizer.i).tolist() == [[[2.0, 4.0]]]
    assert numpy_of(quantizer.k).tolist() == [[[1.0, 1.0]]]


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
