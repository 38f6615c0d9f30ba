"""KBI and KIF: the elements that share bits, and the bits that the cost counts; docs/numerics.md#1 and #7."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from quantizing import BOTH, NAMES, activation, array, build, calibrate, run, tensor

from hgq2_core import ConfigError
from hgq2_core.diagnosis.gradients import gradients
from hgq2_fixed_point import KBI, KIF

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
