"""The value sets, the standards, and the plain function."""

import math

import keras
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgq2_minifloat import ops, quantize
from hgq2_minifloat.formats import STANDARDS, Format

DTYPES = {"float16": np.float16, **{name: getattr(ml_dtypes, name) for name in STANDARDS if name != "float16"}}


def every_float16():
    return np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


def random_float32(form):
    """A million bit patterns up to the largest value, and some values over the format's own exponents."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**32, 2_200_000, dtype=np.uint32).view(np.float32)
    x = x[np.abs(x) <= form.largest][: 10**6]
    near = rng.uniform(-1, 1, 10**5) * np.exp2(rng.uniform(form.emin - form.m - 2, math.log2(form.largest), 10**5))
    return np.concatenate([x, near.astype(np.float32)])


def backend(x, m, e, e0, max_value):
    return keras.ops.convert_to_numpy(ops.backend().quantize(x, m, e, e0, ops.Options(max_value=max_value))[0])


both = pytest.mark.parametrize("function", [pytest.param(quantize, marks=pytest.mark.once), backend])


@both
@pytest.mark.parametrize("name", STANDARDS)
def test_a_standard_is_what_ml_dtypes_casts_to(name, function):
    form = STANDARDS[name]
    halves = every_float16()
    x = np.concatenate([halves[np.abs(halves) <= form.largest], random_float32(form)])
    assert len(x) > 1.1e6
    if function is backend and keras.backend.backend() != "torch":
        x = x[np.abs(x) >= 2.0**-126]  # subnormal numbers are flushed
    with np.errstate(over="ignore"):
        wanted = x.astype(DTYPES[name]).astype(np.float32)
    got = function(x, *form)
    flushed = (function is backend) & (keras.backend.backend() != "torch") & (np.abs(wanted) < 2.0**-126)
    np.testing.assert_array_equal(got[~flushed], wanted[~flushed])
    assert got.dtype == np.float32


@pytest.mark.once
@pytest.mark.parametrize("name", STANDARDS)
def test_the_values_of_a_standard_are_those_of_its_codes(name):
    form, dtype = STANDARDS[name], np.dtype(DTYPES[name])
    with np.errstate(invalid="ignore"):  # some codes are NaN that signal
        codes = np.arange(1 << form.bits, dtype=f"uint{8 * dtype.itemsize}").view(dtype).astype(np.float64)
    codes = codes[np.isfinite(codes)]
    magnitudes = form.magnitudes()
    assert magnitudes == np.unique(np.abs(codes)).tolist()
    assert form.largest == magnitudes[-1] and form.step == magnitudes[1]


formats = st.builds(Format, st.integers(-2, 5), st.integers(0, 4), st.integers(-3, 4), st.just(math.inf))


@pytest.mark.once
@given(formats, st.floats(width=32, allow_nan=False, min_value=-1e6, max_value=1e6))
def test_the_nearest_value_is_taken(form, x):
    values = np.array(form.magnitudes())
    got = float(quantize(np.float64(x), *form))
    assert abs(got) in values
    assert abs(abs(x) - abs(got)) == np.abs(values - abs(x)).min()
    assert got == 0 or (got > 0) == (x > 0)


@pytest.mark.once
@given(formats, st.floats(width=32, min_value=0, max_value=300))
def test_codes_count_the_values(form, x):
    values = form.magnitudes()
    assert [form.code(value) for value in values] == list(range(len(values)))
    assert form.holds(x) == (x in values)
    assert all(form.holds(value) for value in values)


@pytest.mark.once
@given(formats)
def test_quantizing_twice_changes_nothing(form):
    values = np.array(form.magnitudes())
    np.testing.assert_array_equal(quantize(-values, *form), -values)


@pytest.mark.once
@given(st.integers(0, 6), st.integers(-4, 5), st.floats(width=32, min_value=-100, max_value=100))
def test_without_exponent_bits_it_is_fixed_point(m, e0, x):
    from hgq2_fixed_point import quantize as fixed

    x = np.float64(x)
    assert quantize(x, m, 0, e0) == fixed(x, 1, e0, m - e0, "RND_CONV", "SAT_SYM")


@both
def test_nan_stays_and_infinity_saturates(function):
    got = function(np.float32([np.nan, np.inf, -np.inf]), 3, 4, 1, 448.0)
    np.testing.assert_array_equal(got, [np.nan, 448.0, -448.0])
    np.testing.assert_array_equal(function(np.float32([np.nan, 5.0]), -1, 4, 1, math.inf), [np.nan, 0.0])


def test_each_element_may_have_its_own_format():
    x, m, e, e0 = np.float32([[5.3, 5.3], [0.3, 0.3]]), [[1, 3]], [[2], [3]], 1
    got = quantize(x, m, e, e0)
    wanted = [[float(quantize(x[i, j], m[0][j], e[i][0], e0)) for j in range(2)] for i in range(2)]
    assert got.tolist() == wanted
    assert backend(x, np.float32(m), np.float32(e), np.float32(e0), math.inf).tolist() == wanted


def test_stochastic_rounding_is_unbiased_and_leaves_values_of_the_format_alone():
    x = np.full(20_000, 5.1, np.float32)  # between 5 and 5.5
    got = keras.ops.convert_to_numpy(ops.quantize(x, 3, 4, 1, training=True, seed=3))
    assert set(got.tolist()) == {5.0, 5.5}
    assert abs(got.mean() - 5.1) < 0.01
    values = np.float32(STANDARDS["float8_e4m3fn"].magnitudes())
    for sign in (1, -1):
        kept = keras.ops.convert_to_numpy(ops.quantize(sign * values, 3, 4, 1, training=True, seed=3))
        np.testing.assert_array_equal(kept, sign * values)
    again = keras.ops.convert_to_numpy(ops.quantize(x, 3, 4, 1, training=True, seed=3))
    np.testing.assert_array_equal(got, again)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(ops.quantize(x, 3, 4, 1, seed=3)), 5.0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(ops.quantize(x, 3, 4, 1, training=True)), 5.0)
