"""Weights that wrap: the range is what the present values need, and beyond the bound on i they saturate."""

import math
from typing import get_args

import keras
import numpy as np
import pytest
from differentiation import differentiate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import hgq2_fixed_point
from hgq2_fixed_point import ops
from hgq2_fixed_point.modes import RoundMode

LN2 = float(np.float32(math.log(2.0)))
# Near powers of two and near halves, where a wrong choice of i would show.
VALUES = npst.arrays(
    np.float32,
    (12,),
    elements=st.one_of(
        st.floats(-70.0, 70.0, width=32, allow_subnormal=keras.backend.backend() == "torch"),  # the others flush them
        st.builds(lambda s, e, m: s * m * 2.0**e, st.sampled_from([-1, 1]), st.integers(-6, 6), st.integers(1, 17)),
        st.builds(lambda s, e, m: s * m * 2.0**e, st.sampled_from([-1, 1]), st.integers(-9, 6), st.integers(7, 9)),
    ),
)


def dynamic(x, precision, bounds=(-4, 5), regularizer=0.0):
    options = ops.Options("RND", fixed_width=True, bounds=bounds, regularizers=(0.0, regularizer))
    return ops.backend().quantize_dynamic(x, precision, options)


@pytest.mark.parametrize("round_mode", get_args(RoundMode))
@pytest.mark.parametrize("shared", [False, True])
@given(x=VALUES, data=st.data())
def test_it_is_saturating_quantization_with_the_smallest_i_that_holds_the_values(round_mode, shared, x, data):
    fixed_width, signed = data.draw(st.booleans()), data.draw(st.booleans())
    shape, axes = ((1,), (0,)) if shared else ((12,), ())
    precision = data.draw(npst.arrays(np.float32, shape, elements=st.integers(-2, 6)))
    options = ops.Options(round_mode, fixed_width=fixed_width, signed=signed, axes=axes, bounds=(-4, 5))
    i = keras.ops.convert_to_numpy(ops.backend().min_integer_bits(x, precision, options))
    f = precision - i if fixed_width else precision
    q, bits, _ = ops.backend().quantize_dynamic(x, precision, options)
    wanted = hgq2_fixed_point.quantize(x, int(signed), i, f, round_mode, "SAT")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(q), wanted)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(bits), np.maximum(i + f, 0.0))


def test_in_range_the_gradient_is_that_of_rounding_even_where_a_value_rounds_down_to_the_largest():
    x = np.float32([0.9, -0.3])
    q, d_x, d_b = differentiate(lambda x, b: dynamic(x, b)[0], x, [3.0, 3.0])
    assert q.tolist() == [0.875, -0.3125]
    assert d_x.tolist() == [1.0, 1.0]
    assert d_b.tolist() == ((x - q) * np.float32(LN2)).tolist()


def test_beyond_the_bound_on_i_the_gradient_is_that_of_saturation():
    q, d_x, d_b = differentiate(lambda x, b: dynamic(x, b, bounds=(-4, 2))[0], [9.0, -9.0, 3.9], [3.0, 3.0, 3.0])
    assert q.tolist() == [3.5, -4.0, 3.5]
    assert d_x.tolist() == [0.0, 0.0, 0.0]
    assert d_b.tolist() == [float(np.float32(LN2 * 0.5)), 0.0, float(np.float32(LN2 * 0.5))]


def test_values_get_their_gradient_where_bits_are_not_trained():
    bits = np.float32([3.0, 3.0])
    _, d_x = differentiate(lambda x: dynamic(x, bits, bounds=(-4, 2))[0], [9.0, 1.0])
    assert d_x.tolist() == [0.0, 1.0]


def test_bits_and_their_penalty_have_gradients():
    x, b = np.float32([0.5, 0.5, 0.5]), np.float32([3.0, 0.0, 2.4])
    bits, d_bits = differentiate(lambda b: dynamic(x, b, regularizer=0.5)[1], b)
    assert bits.tolist() == [3.0, 0.0, 2.0]
    assert d_bits.tolist() == [1.0, 0.0, 1.0]
    penalty, d_penalty = differentiate(lambda b: dynamic(x, b, regularizer=0.5)[2], b)
    assert penalty.item() == 0.5 * float(b.sum())
    assert d_penalty.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("fixed_width", [False, True])
@pytest.mark.parametrize("shape", [(1024, 5), (1000, 31), (33, 200), (31, 2001), (64, 64), (5000, 1), (9, 70, 16)])
def test_a_shared_range_is_the_widest_of_its_values_however_many_share_it(shape, fixed_width):
    scales = 2.0 ** np.random.default_rng(0).integers(-6, 7, shape)
    x = np.random.default_rng(1).normal(size=shape).astype("float32") * scales.astype("float32")
    axes = tuple(range(len(shape) - 1))
    options = [ops.Options("RND", fixed_width=fixed_width, axes=along, bounds=(-20, 20)) for along in (axes, ())]
    bits = np.full((1, 1, 1)[: len(shape)], 4.0, "float32")
    shared, own = (keras.ops.convert_to_numpy(ops.backend().min_integer_bits(x, bits, each)) for each in options)
    np.testing.assert_array_equal(shared, own.max(axes, keepdims=True))
