"""What fixed-point arithmetic is, stated on the numpy reference and checked on the backend operation too."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest
from arrays import numpy_of
from differentiation import require_float64
from hypothesis import given, settings
from hypothesis import strategies as st

from hgq2_core.errors import ConfigError
from hgq2_fixed_point import arithmetic, ops
from hgq2_fixed_point.modes import OVERFLOW_MODES, ROUND_MODES


def _tensors(*values):
    return tuple(keras.ops.convert_to_tensor(np.asarray(v, np.float32)) for v in values)


def _backend_quantize(x, k, i, f, round_mode="RND", overflow_mode="WRAP"):
    x = keras.ops.convert_to_tensor(np.asarray(x))
    return keras.ops.convert_to_numpy(ops.quantize(x, *_tensors(k, i, f), round_mode, overflow_mode))


both = pytest.mark.parametrize(
    "quantize",
    [
        pytest.param(arithmetic.quantize, id="numpy", marks=pytest.mark.once),
        pytest.param(_backend_quantize, id="backend"),
    ],
)

TORCH = keras.backend.backend() == "torch"
# jax and tensorflow flush subnormal numbers.
values = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=TORCH)
moderate = values.filter(lambda v: abs(v) < 2**20)
formats = st.tuples(st.integers(0, 1), st.integers(-8, 12), st.integers(1, 23)).map(
    lambda kib: (kib[0], kib[1], kib[2] - kib[0] - kib[1])
)
round_modes = st.sampled_from(ROUND_MODES)
saturating = st.sampled_from(["SAT", "SAT_SYM"])
modes = st.sampled_from([(r, o) for r in ROUND_MODES for o in OVERFLOW_MODES if o != "WRAP_SM"])


def f32(*v):
    return np.array(v, np.float32)


# Faults of the predecessor (docs/numerics.md#9).


@both
@pytest.mark.parametrize("round_mode", ["RND", "RND_INF", "RND_MIN_INF", "RND_ZERO", "RND_CONV"])
def test_fault_1_rounding_to_nearest_is_exact_next_to_one_half_and_above_2_to_the_23(quantize, round_mode):
    below_half = np.nextafter(np.float32(0.5), np.float32(0))
    x = f32(below_half, -below_half, 8388609, -8388609, 4194304.5 + 0.5, 1.5 - 2**-23)
    want = f32(0, 0, 8388609, -8388609, 4194305, 1)
    np.testing.assert_array_equal(quantize(x, 1, 24, 0, round_mode, "SAT"), want)


@both
def test_fault_2_wrapping_keeps_the_low_bits_of_wide_formats(quantize):
    x = f32(2.0**-23, -(2.0**-23), 1 - 2.0**-24, 3 + 2.0**-22)
    want = f32(2.0**-23, -(2.0**-23), 1 - 2.0**-24, -1 + 2.0**-22)
    np.testing.assert_array_equal(quantize(x, 1, 1, 24, "TRN", "WRAP"), want)


# Rounding and overflow, one line each.

TIES = f32(-2.5, -1.75, -1.5, -1.25, -0.5, 0.5, 1.25, 1.5, 1.75, 2.5)


@both
@pytest.mark.parametrize(
    ("round_mode", "want"),
    [
        ("TRN", f32(-3, -2, -2, -2, -1, 0, 1, 1, 1, 2)),
        ("TRN_ZERO", f32(-2, -1, -1, -1, 0, 0, 1, 1, 1, 2)),
        ("RND", f32(-2, -2, -1, -1, 0, 1, 1, 2, 2, 3)),
        ("RND_ZERO", f32(-2, -2, -1, -1, 0, 0, 1, 1, 2, 2)),
        ("RND_INF", f32(-3, -2, -2, -1, -1, 1, 1, 2, 2, 3)),
        ("RND_MIN_INF", f32(-3, -2, -2, -1, -1, 0, 1, 1, 2, 2)),
        ("RND_CONV", f32(-2, -2, -2, -1, 0, 0, 1, 2, 2, 2)),
    ],
)
def test_rounding(quantize, round_mode, want):
    np.testing.assert_array_equal(quantize(TIES, 1, 4, 0, round_mode, "SAT"), want)


OUTSIDE = f32(-13, -5, -4.25, -4, 3, 3.25, 3.75, 5, 100)


@both
@pytest.mark.parametrize(
    ("k", "overflow_mode", "want"),
    [
        (1, "WRAP", f32(3, 3, -4, -4, 3, 3, -4, -3, -4)),
        (1, "SAT", f32(-4, -4, -4, -4, 3, 3, 3, 3, 3)),
        (1, "SAT_SYM", f32(-3, -3, -3, -3, 3, 3, 3, 3, 3)),
        (1, "SAT_ZERO", f32(0, 0, -4, -4, 3, 3, 0, 0, 0)),
        (1, "WRAP_SM", f32(3, -4, -4, -4, 3, 3, 3, 2, 3)),
        (0, "WRAP", f32(3, 3, 0, 0, 3, 3, 0, 1, 0)),
        (0, "SAT", f32(0, 0, 0, 0, 3, 3, 3, 3, 3)),
        (0, "SAT_ZERO", f32(0, 0, 0, 0, 3, 3, 0, 0, 0)),
    ],
)
def test_overflow_is_decided_on_the_rounded_value(quantize, k, overflow_mode, want):
    np.testing.assert_array_equal(quantize(OUTSIDE, k, 2, 0, "RND", overflow_mode), want)


# Special values.


@both
@pytest.mark.parametrize("overflow_mode", OVERFLOW_MODES)
@pytest.mark.parametrize("i", [2, -9])
def test_nan_stays_nan(quantize, overflow_mode, i):
    assert np.isnan(quantize(f32(math.nan), 1, i, 4, "RND", overflow_mode)).all()


@both
def test_infinities_saturate_or_become_nan(quantize):
    x = f32(math.inf, -math.inf)
    np.testing.assert_array_equal(quantize(x, 1, 2, 1, "RND", "SAT"), f32(3.5, -4))
    np.testing.assert_array_equal(quantize(x, 1, 2, 1, "RND", "SAT_SYM"), f32(3.5, -3.5))
    np.testing.assert_array_equal(quantize(x, 1, 2, 1, "RND", "SAT_ZERO"), f32(0, 0))
    assert np.isnan(quantize(x, 1, 2, 1, "RND", "WRAP")).all()
    assert np.isnan(quantize(x, 1, 2, 1, "RND", "WRAP_SM")).all()


@both
@pytest.mark.parametrize("overflow_mode", OVERFLOW_MODES)
@pytest.mark.parametrize("round_mode", ["TRN", "RND"])
def test_a_format_without_bits_is_exactly_zero(quantize, round_mode, overflow_mode):
    if overflow_mode == "WRAP_SM":
        round_mode = "RND"
    x = f32(-1e30, -3, -0.1, -1e-45, 0, 1e-45, 0.1, 3, 1e30)
    for k, i, f in [(1, -1, 0), (0 if overflow_mode != "WRAP_SM" else 1, 4, -5), (1, -31, 30), (1, 24, -25)]:
        np.testing.assert_array_equal(quantize(x, k, i, f, round_mode, overflow_mode), np.zeros_like(x))


@both
def test_extreme_magnitudes(quantize):
    huge = f32(3e38, -3e38, 2.0**100)
    np.testing.assert_array_equal(quantize(huge, 1, 2, 24, "RND", "WRAP"), f32(0, 0, 0))
    np.testing.assert_array_equal(quantize(huge, 1, -20, 43, "RND", "WRAP"), f32(0, 0, 0))
    np.testing.assert_array_equal(quantize(huge, 1, 2, 20, "RND", "SAT_SYM"), f32(1, -1, 1) * (4 - 2.0**-20))
    tiny = f32(-1e-45, 1e-45, -(2.0**-126), -0.0)
    if quantize is _backend_quantize and not TORCH:
        tiny = f32(-(2.0**-126), 2.0**-126, -(2.0**-126), -0.0)  # no subnormal numbers
    np.testing.assert_array_equal(quantize(tiny, 1, 30, -24, "TRN", "WRAP"), f32(-(2.0**24), 0, -(2.0**24), 0))
    np.testing.assert_array_equal(quantize(tiny, 1, 30, -24, "TRN", "SAT"), f32(-(2.0**24), 0, -(2.0**24), 0))
    np.testing.assert_array_equal(quantize(tiny, 0, 30, -24, "TRN", "SAT"), f32(0, 0, 0, 0))


@both
def test_bounds_wider_than_the_dtype_round_toward_zero(quantize):
    got = quantize(f32(5, -5), 1, 1, 30, "RND", "SAT_SYM")
    np.testing.assert_array_equal(got, f32(1, -1) * (2 - 2.0**-23))


@both
@pytest.mark.parametrize("overflow_mode", OVERFLOW_MODES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(quantize, dtype, overflow_mode):
    if quantize is _backend_quantize and dtype is np.float64:
        require_float64()
    for i in (2, np.array([2, -9])):
        assert quantize(np.array([0.3, 9.0], dtype), 1, i, 3, "RND", overflow_mode).dtype == dtype


@pytest.mark.once
def test_other_dtypes_are_widened():
    assert arithmetic.quantize(np.float16([0.3]), 1, 2, 3).dtype == np.float32
    assert arithmetic.quantize([7], 1, 2, 0, "RND", "SAT").tolist() == [3.0]
    assert arithmetic.quantize([7], 1, 2, 0, "RND", "SAT").dtype == np.float64


@both
def test_formats_broadcast(quantize):
    x = np.linspace(-5, 5, 12, dtype=np.float32).reshape(4, 3)
    k, i, f = f32(1, 0, 1), f32(2, 2, -3), np.array([[0], [1], [2], [1]], np.float32)
    got = quantize(x, k, i, f, "RND", "SAT")
    for row in range(4):
        for column in range(3):
            want = arithmetic.quantize(x[row, column], k[column], i[column], f[row, 0], "RND", "SAT")
            assert got[row, column] == want


# Errors.


@both
@pytest.mark.parametrize(
    ("modes", "fragments"),
    [
        (("RNDD", "WRAP"), ["round_mode", "'RNDD'", "RND_CONV", "Did you mean 'RND'?"]),
        (("RND", "SATT"), ["overflow_mode", "'SATT'", "SAT_SYM", "Did you mean 'SAT'?"]),
        (("TRN", "WRAP_SM"), ["WRAP_SM", "'TRN'", "RND, RND_CONV"]),
    ],
)
def test_bad_modes_are_config_errors(quantize, modes, fragments):
    with pytest.raises(ConfigError) as error:
        quantize(f32(1), 1, 2, 3, *modes)
    for fragment in fragments:
        assert fragment in str(error.value)


def test_sign_magnitude_wrapping_needs_a_sign():
    with pytest.raises(ConfigError, match="unsigned"):
        arithmetic.quantize(f32(1), 0, 2, 3, "RND", "WRAP_SM")


# Properties.

arrays = st.lists(values, min_size=1, max_size=8).map(lambda v: np.array(v, np.float32))


@both
@given(arrays, formats, modes)
def test_quantizing_twice_changes_nothing(quantize, x, fmt, mode):
    q = quantize(x, *fmt, *mode)
    np.testing.assert_array_equal(quantize(q, *fmt, *mode), q)


@both
@given(arrays, formats, modes)
def test_results_are_on_the_grid_and_in_range(quantize, x, fmt, mode):
    k, i, f = fmt
    n = quantize(x, k, i, f, *mode).astype(np.float64) * 2.0**f
    assert (n == np.rint(n)).all()
    lowest = -k * (2.0 ** (i + f) - (mode[1] == "SAT_SYM"))
    assert ((lowest <= n) & (n <= 2.0 ** (i + f) - 1)).all()


@both
@given(arrays, formats, round_modes, saturating)
def test_saturating_modes_are_monotone(quantize, x, fmt, round_mode, overflow_mode):
    assert (np.diff(quantize(np.sort(x), *fmt, round_mode, overflow_mode)) >= 0).all()


@both
@given(arrays, formats, round_modes)
def test_wrapping_is_congruent_to_rounding(quantize, x, fmt, round_mode):
    k, i, f = fmt
    x = x.astype(np.float64)
    x = x[abs(x) < 2.0**20]
    difference = arithmetic.round_to_grid(x, f, round_mode) - quantize(x, *fmt, round_mode, "WRAP")
    turns = difference / 2.0 ** (k + i)
    assert (turns == np.rint(turns)).all()


@settings(max_examples=300)
@given(arrays, formats, modes)
def test_the_backend_equals_numpy(x, fmt, mode):
    np.testing.assert_array_equal(_backend_quantize(x, *fmt, *mode), arithmetic.quantize(x, *fmt, *mode))


@given(arrays, formats, modes)
def test_kbi_equals_kif(x, fmt, mode):
    k, i, f = fmt
    q = ops.quantize_kbi(keras.ops.convert_to_tensor(x), *_tensors(k, i + f, i), *mode)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(q), _backend_quantize(x, *fmt, *mode))


# Integer bits.


def _brute_force(lo, hi, k, holds):
    lo, hi = (min(lo, 0) if k else 0), max(hi, 0)
    if lo == hi == 0:
        return -math.inf
    return next(i for i in range(-60, 60) if holds(lo, hi, i))


@pytest.mark.once
@given(st.integers(-(2**20), 2**20), st.integers(-(2**20), 2**20), st.integers(0, 1), st.integers(-8, 20))
def test_minimal_integer_bits_is_minimal_and_sufficient(m, n, k, f):
    lo, hi = math.ldexp(min(m, n), -f), math.ldexp(max(m, n), -f)
    want = _brute_force(lo, hi, k, lambda lo, hi, i: -k * 2.0**i <= lo and hi <= 2.0**i - 2.0**-f)
    assert arithmetic.minimal_integer_bits(lo, hi, k, f) == want
    x = keras.ops.convert_to_tensor(np.array([[lo], [hi]], np.float32))
    bits = ops.backend().min_integer_bits(x, *_tensors(f), ops.Options("RND", signed=bool(k), axes=(0,)))
    assert numpy_of(bits).item() == want


@settings(max_examples=300)
@pytest.mark.once
@given(moderate, moderate, st.integers(0, 1), st.integers(-2, 12), round_modes)
def test_minimal_integer_bits_for_width_is_minimal_and_sufficient(v, w, k, b, round_mode):
    lo, hi = (0.0 if abs(x) < 2.0**-30 else x for x in sorted((v, w)))

    def holds(lo, hi, i):
        rounded = arithmetic.round_to_grid(np.array([lo, hi]), b - i, round_mode)
        return -k * 2.0**i <= rounded[0] and rounded[1] <= 2.0**i - 2.0 ** (i - b)

    want = -math.inf if b + k <= 0 else _brute_force(lo, hi, k, holds)
    assert arithmetic.minimal_integer_bits_for_width(lo, hi, k, b, round_mode) == want
    x = keras.ops.convert_to_tensor(np.array([[lo], [hi]], np.float32))
    options = ops.Options(round_mode, fixed_width=True, signed=bool(k))
    together = ops.backend().min_integer_bits(x, *_tensors(b), replace(options, axes=(0,)))
    assert numpy_of(together).item() == want
    alone = [numpy_of(ops.backend().min_integer_bits(each, *_tensors(b), options)).item() for each in _tensors(lo, hi)]
    assert max(alone) == want


@pytest.mark.once
def test_minus_a_power_of_two_needs_no_extra_bit():
    assert arithmetic.minimal_integer_bits(f32(-4, -4, -4.5), f32(0, 4, 0), 1, 1).tolist() == [2, 3, 3]
    assert arithmetic.minimal_integer_bits_for_width(-4.0, 3.9, 1, 4) == 3  # 3.9 rounds to 4 with f = 2
    assert arithmetic.minimal_integer_bits_for_width(-4.0, 3.7, 1, 4) == 2
