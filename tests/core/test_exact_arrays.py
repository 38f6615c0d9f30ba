"""Exact interpretation: integers are the truth, intervals contain it and count the bits that floats need."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hgq2_core.errors import ConfigError, ExactnessError
from hgq2_core.exact import IntegerArray, Integers, IntervalArray, Intervals
from hgq2_core.exact.integers import equal, from_float, to_float
from hgq2_core.exact.intervals import NO_BITS
from hgq2_core.exact.rounding import OVERFLOW, ROUND_UP

integers = Integers()
FORMATLESS = [mode for mode in OVERFLOW if mode != "WRAP_SM"]


def fractions(a: IntegerArray) -> np.ndarray:
    """The values as an object array of Fraction."""
    values = [Fraction(int(n)) / Fraction(2) ** a.exponent for n in a.data.ravel()]
    return np.array([*values, None], dtype=object)[:-1].reshape(a.data.shape)


def numbers(bits: int, fraction: int, count: int) -> st.SearchStrategy[IntegerArray]:
    """Arrays of signed integers of some bits, at an exponent up to `fraction`."""
    element = st.integers(-(2**bits), 2**bits)

    def build(data: list[int], exponent: int) -> IntegerArray:
        return integers.shift(array(*data), -exponent)

    return st.builds(build, st.lists(element, min_size=count, max_size=count), st.integers(-fraction, fraction))


def array(*values: int) -> IntegerArray:
    """Integers of any size."""
    data = np.array([*values, None], dtype=object)[:-1]
    return IntegerArray(data if max(map(abs, values)) >= 2**63 else data.astype(np.int64), 0)


def nearest_integer(z: Fraction, mode: str) -> int:
    """Rounding as docs/numerics.md#1 defines it: candidates on both sides, then the rule for ties."""
    low, high = math.floor(z), math.ceil(z)
    toward_zero, away = sorted((low, high), key=abs)
    if mode in ("TRN", "TRN_ZERO"):
        return low if mode == "TRN" else toward_zero
    if z - low != high - z or low == high:
        return low if z - low <= high - z else high
    even = low if low % 2 == 0 else high
    return {"RND": high, "RND_ZERO": toward_zero, "RND_INF": away, "RND_MIN_INF": low, "RND_CONV": even}[mode]


def quantized(x: Fraction, k: int, i: int, f: int, round_mode: str, overflow_mode: str) -> Fraction:
    """Quantization as docs/numerics.md#1 defines it, one number at a time."""
    if k + i + f <= 0:
        return Fraction(0)
    q, size = nearest_integer(x * Fraction(2) ** f, round_mode), 2 ** (i + f)
    low, high = -k * (size - 1 if overflow_mode == "SAT_SYM" else size), size - 1
    if not low <= q <= high:
        wrapped = q % size if k == 0 else (q + size) % (2 * size) - size
        clipped = min(max(q, low), high)
        q = {"SAT": clipped, "SAT_SYM": clipped, "SAT_ZERO": 0, "WRAP": wrapped}[overflow_mode]
    return q / Fraction(2) ** f


class TestConstant:
    def test_drops_trailing_zeros(self):
        a = integers.constant(np.array([0.75, -2.5, 0.0]))
        assert (a.data.tolist(), a.exponent) == ([3, -10, 0], 2)
        b = integers.constant(np.array([96.0, -32.0]))
        assert (b.data.tolist(), b.exponent) == ([3, -1], -5)

    @given(hnp.arrays(np.float64, 5, elements=st.floats(allow_nan=False, allow_infinity=False)))
    def test_is_exact_for_every_float(self, values):
        a = integers.constant(values)
        assert fractions(a).tolist() == [Fraction(v) for v in values.tolist()]
        assert to_float(a).tolist() == values.tolist()
        assert equal(a, values).all()

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_refuses_what_is_no_number(self, bad):
        with pytest.raises(ExactnessError):
            integers.constant(np.array([1.0, bad]))
        with pytest.raises(ExactnessError):
            Intervals().constant(np.array([1.0, bad]))

    def test_keeps_integers_and_booleans(self):
        assert fractions(integers.constant(np.array([2**63 + 1], dtype=np.uint64))).tolist() == [2**63 + 1]
        assert fractions(integers.constant(np.array([-(2**63)]))).tolist() == [-(2**63)]
        assert fractions(integers.constant(np.array([True, False]))).tolist() == [1, 0]


class TestFloats:
    @given(numbers(90, 200, 4))
    def test_are_correctly_rounded(self, a):
        assert to_float(a).tolist() == [float(x) for x in fractions(a)]

    @given(st.integers(-(2**28), 2**28), st.integers(-1, 1), st.integers(30, 60))
    def test_float32_is_rounded_once(self, n, nudge, places):
        # Next to a float32 tie, where rounding to float64 first would land on the tie.
        exact = (n << places) + nudge
        assume(exact)
        got = Fraction(float(to_float(array(exact), np.float32)[0]))
        error = abs(got - exact)
        for side in (-np.inf, np.inf):
            neighbour = Fraction(float(np.nextafter(np.float32(float(got)), np.float32(side))))
            assert error <= abs(neighbour - exact)
            if error == abs(neighbour - exact):
                assert np.float32(float(got)).view(np.int32) % 2 == 0

    def test_equal_compares_every_bit(self):
        a = array(2**60 + 1, 2**60, 0, 3)
        assert equal(a, np.array([2.0**60, 2.0**60, -0.0, np.nan])).tolist() == [False, True, True, False]
        assert equal(array(1, 2), np.array([np.inf, 2.0])).tolist() == [False, True]

    def test_equal_refuses_other_shapes(self):
        with pytest.raises(ValueError, match="shapes"):
            equal(array(1, 2), np.array([1.0]))


class TestIntegers:
    @given(numbers(70, 40, 3), numbers(70, 40, 3))
    def test_arithmetic_is_that_of_fractions(self, a, b):
        x, y = fractions(a), fractions(b)
        assert fractions(integers.add(a, b)).tolist() == (x + y).tolist()
        assert fractions(integers.subtract(a, b)).tolist() == (x - y).tolist()
        assert fractions(integers.multiply(a, b)).tolist() == (x * y).tolist()
        assert fractions(integers.negate(a)).tolist() == (-x).tolist()
        assert fractions(integers.maximum(a, b)).tolist() == np.maximum(x, y).tolist()
        assert fractions(integers.minimum(a, b)).tolist() == np.minimum(x, y).tolist()
        smaller = integers.less(a, b)
        assert fractions(smaller).tolist() == (x < y).tolist()
        assert fractions(integers.select(smaller, a, b)).tolist() == np.where(x < y, x, y).tolist()

    @given(numbers(62, 10, 3), st.lists(st.integers(-80, 80), min_size=3, max_size=3))
    def test_shift_multiplies_by_powers_of_two(self, a, n):
        expected = [x * Fraction(2) ** m for x, m in zip(fractions(a), n, strict=True)]
        assert fractions(integers.shift(a, np.array(n))).tolist() == expected
        assert fractions(integers.shift(a, n[0])).tolist() == [x * Fraction(2) ** n[0] for x in fractions(a)]

    @given(st.sampled_from([3, 25, 28, 31, 40, 70]), st.data())
    def test_einsum_is_exact_at_every_width(self, bits, data):
        # 3 x 2 terms: the bound passes 2**53 (float64), then 2**63 (int64), within these widths.
        a = integers.reshape(data.draw(numbers(bits, 20, 6)), (2, 3))
        b = integers.reshape(data.draw(numbers(bits, 20, 12)), (3, 4))
        assert fractions(integers.einsum("...i,io->...o", a, b)).tolist() == (fractions(a) @ fractions(b)).tolist()
        assert (
            fractions(integers.einsum("bi,io->bio", a, b)).tolist()
            == (fractions(a)[:, :, None] * fractions(b)).tolist()
        )
        assert fractions(integers.sum(a, axis=(0, -1))).tolist() == fractions(a).sum()
        assert fractions(integers.sum(a, axis=1, keepdims=True)).tolist() == fractions(a).sum(1, keepdims=True).tolist()

    @pytest.mark.parametrize(("size", "kind"), [(2**26, np.int64), (2**30, np.int64), (2**32, object)])
    def test_einsum_leaves_int64_only_when_it_must(self, size, kind):
        a = array(size - 1, 1 - size)
        result = integers.einsum("i,i->", a, a)
        assert fractions(result).tolist() == 2 * (size - 1) ** 2
        assert result.data.dtype == kind

    @pytest.mark.parametrize("equation", ["i,i", "i->i", "i,i,i->i"])
    def test_einsum_wants_two_operands_and_an_output(self, equation):
        with pytest.raises(ValueError, match="einsum"):
            integers.einsum(equation, array(1), array(1))

    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("offset", [-1, 0, 1])
    def test_int64_gives_way_to_python_integers(self, sign, offset):
        value = sign * (2**62 + offset)
        a = array(value, sign)
        assert a.data.dtype == np.int64
        doubled = integers.add(a, a)
        assert fractions(doubled).tolist() == [2 * value, 2 * sign]
        assert fractions(integers.sum(integers.concatenate([a, a], 0), 0)).tolist() == 2 * (value + sign)
        assert fractions(integers.multiply(doubled, doubled)).tolist() == [4 * value**2, 4]
        back = integers.subtract(doubled, a)
        assert fractions(back).tolist() == [value, sign]
        assert back.data.dtype == np.int64

    def test_narrow_integers_are_refused(self):
        with pytest.raises(TypeError, match="int32"):
            IntegerArray(np.ones(2, dtype=np.int32), 0)

    def test_shapes_move_as_in_numpy(self):
        a, b = integers.constant(np.arange(6).reshape(1, 2, 3) / 4), integers.constant(np.full((1, 2, 1), 0.125))
        x = to_float(a)
        assert integers.shape(a) == (1, 2, 3)
        assert to_float(integers.reshape(a, (-1, 6))).tolist() == x.reshape(1, 6).tolist()
        assert to_float(integers.transpose(a, (0, 2, 1))).tolist() == x.transpose(0, 2, 1).tolist()
        assert to_float(integers.concatenate([a, b], -1))[0, :, 3].tolist() == [0.125, 0.125]
        assert to_float(integers.broadcast(b, (5, 2, 3))).tolist() == np.full((5, 2, 3), 0.125).tolist()
        assert to_float(integers.gather(a, [[2, 0]], axis=2)).tolist() == x[:, :, [[2, 0]]].tolist()
        widths = [(0, 0), (1, 0), (0, 2)]
        assert to_float(integers.pad(a, widths)).tolist() == np.pad(x, widths).tolist()

    def test_table_looks_up_float64(self):
        a = integers.constant(np.array([[0.5, -1.0], [2.0, 0.0]]))
        assert to_float(integers.table(a, np.exp)).tolist() == np.exp([[0.5, -1.0], [2.0, 0.0]]).tolist()
        with pytest.raises(ExactnessError, match="NaN"), np.errstate(divide="ignore"):
            integers.table(a, lambda x: 1 / x)
        with pytest.raises(ExactnessError, match="53 bits"):
            integers.table(array(2**60 + 1), np.abs)
        with pytest.raises(ExactnessError, match="elementwise"):
            integers.table(a, np.sum)


class TestQuantize:
    @pytest.mark.parametrize("round_mode", ROUND_UP)
    @pytest.mark.parametrize("overflow_mode", FORMATLESS)
    def test_every_quarter_step(self, round_mode, overflow_mode):
        x = np.arange(-80, 81) / 8
        for k, i, f in itertools.product((0, 1), (-1, 0, 2), (-1, 0, 1)):
            got = integers.quantize(from_float(x), k, i, f, round_mode, overflow_mode)
            expected = [quantized(Fraction(v), k, i, f, round_mode, overflow_mode) for v in x.tolist()]
            assert fractions(got).tolist() == expected, (k, i, f)

    @pytest.mark.parametrize("overflow_mode", FORMATLESS)
    @given(
        numbers(66, 70, 4),
        st.sampled_from(list(ROUND_UP)),
        *(hnp.arrays(np.int64, 4, elements=st.integers(low, high)) for low, high in ((0, 1), (-40, 70), (-40, 40))),
    )
    def test_every_element_has_its_own_format(self, overflow_mode, a, round_mode, k, i, f):
        got = integers.quantize(a, k, i, f, round_mode, overflow_mode)
        rows = zip(fractions(a), *(bits.tolist() for bits in (k, i, f)), strict=True)
        assert fractions(got).tolist() == [quantized(*row, round_mode, overflow_mode) for row in rows]

    @pytest.mark.parametrize("overflow_mode", OVERFLOW)
    @given(numbers(12, 6, 4), st.sampled_from(["RND", "RND_CONV"]), st.integers(-1, 8), st.integers(-3, 6))
    def test_twice_is_once(self, overflow_mode, a, round_mode, i, f):
        once = integers.quantize(a, 1, i, f, round_mode, overflow_mode)
        twice = integers.quantize(once, 1, i, f, round_mode, overflow_mode)
        assert fractions(once).tolist() == fractions(twice).tolist()

    def test_sign_magnitude_wrap_walks_up_and_down(self):
        # As ap_fixed does it: 8 reached from below keeps the sign that 7 had.
        x = np.array([3.0, 4.0, 5.0, 7.0, 7.6, 8.0, 9.0, 12.0, -0.4, -4.0, -5.0, -7.7, -8.0, -8.3])
        got = to_float(integers.quantize(from_float(x), 1, 2, 0, "RND", "WRAP_SM"))
        assert got.tolist() == [3, 3, 2, 0, 0, -1, -2, -4, 0, -4, -4, -1, -1, 0]

    def test_sign_magnitude_wrap_needs_a_sign(self):
        with pytest.raises(ConfigError, match="sign"):
            integers.quantize(array(1), 0, 2, 0, "RND", "WRAP_SM")

    def test_pruned_elements_are_zero(self):
        for overflow_mode in OVERFLOW:
            got = integers.quantize(from_float(np.linspace(-9, 9, 37)), 1, 3, -4, "RND", overflow_mode)
            assert not got.data.any()

    def test_scalars_of_any_size(self):
        a = integers.reshape(array(2**70 + 3), ())
        assert fractions(integers.quantize(a, 1, 80, -1, "RND_CONV", "SAT")).tolist() == 2**70 + 4

    def test_misspelt_modes_say_what_was_meant(self):
        with pytest.raises(ConfigError, match="Did you mean 'RND'"):
            integers.quantize(array(1), 1, 1, 1, "RNDD", "SAT")
        with pytest.raises(ConfigError, match="Did you mean 'WRAP'"):
            integers.quantize(array(1), 1, 1, 1, "RND", "WARP")

    def test_bits_must_be_integers(self):
        with pytest.raises(TypeError):
            integers.quantize(array(1), 1, 1, np.array([1.5]), "RND", "SAT")


def boxes(count: int, bits: int = 6) -> st.SearchStrategy[tuple[IntervalArray, list[list[Fraction]]]]:
    """Intervals of `count` elements, some of them points or zero, with all their members."""

    def build(rows: list[tuple[int, int, int]]) -> tuple[IntervalArray, list[list[Fraction]]]:
        lo, width, f = (np.array(column) for column in zip(*rows, strict=True))
        box = Intervals().between(lo * 2.0**-f, (lo + width) * 2.0**-f, f)
        return box, [[Fraction(n) / Fraction(2) ** c for n in range(a, a + b + 1)] for a, b, c in rows]

    row = st.tuples(st.integers(-(2**bits), 2**bits), st.sampled_from([0, 1, 5, 40]), st.integers(-2, 5))
    return st.builds(build, st.lists(row | st.just((0, 0, 0)), min_size=count, max_size=count))


def point(data: st.DataObject, members: list[list[Fraction]]) -> IntegerArray:
    """One member of each element."""
    return integers.constant(np.array([float(data.draw(st.sampled_from(m))) for m in members]))


def assert_contains(box: IntervalArray, a: IntegerArray) -> None:
    """Every value lies within its bounds and on its grid."""
    rows = zip(*(fractions(x).ravel() for x in (a, box.lo, box.hi)), box.step.ravel().tolist(), strict=True)
    assert a.data.shape == box.step.shape
    for value, lo, hi, step in rows:
        assert lo <= value <= hi
        assert value == 0 if step == NO_BITS else (value * Fraction(2) ** step).denominator == 1


def operations(arrays, a, b):
    """Every operation of two operands of shape (4,), by name."""
    matrix, other = arrays.reshape(a, (2, 2)), arrays.reshape(b, (2, 2))
    return {
        "add": arrays.add(a, b),
        "subtract": arrays.subtract(a, b),
        "negate": arrays.negate(a),
        "multiply": arrays.multiply(a, b),
        "shift": arrays.shift(a, np.array([0, 3, -4, 1])),
        "einsum": arrays.einsum("bi,io->bo", matrix, other),
        "outer": arrays.einsum("bi,io->bio", matrix, other),
        "sum": arrays.sum(matrix, axis=-1, keepdims=True),
        "maximum": arrays.maximum(a, b),
        "minimum": arrays.minimum(a, b),
        "less": arrays.less(a, b),
        "select": arrays.select(arrays.less(a, b), b, a),
        "table": arrays.table(a, lambda x: np.round(8 * np.sin(x)) / 8),
        "concatenate": arrays.concatenate([a, b], 0),
        "transpose": arrays.transpose(matrix, (1, 0)),
        "broadcast": arrays.broadcast(a, (3, 4)),
        "gather": arrays.gather(b, [3, 0], axis=0),
        "pad": arrays.pad(a, [(1, 2)]),
    }


class TestIntervals:
    @given(boxes(4), boxes(4), st.data())
    def test_contain_what_integers_compute(self, left, right, data):
        bounds = operations(Intervals(), left[0], right[0])
        exact = operations(integers, point(data, left[1]), point(data, right[1]))
        for name, box in bounds.items():
            assert_contains(box, exact[name])

    @pytest.mark.parametrize("overflow_mode", OVERFLOW)
    @given(
        boxes(4, bits=8),
        st.sampled_from(list(ROUND_UP)),
        *(hnp.arrays(np.int64, 4, elements=st.integers(low, high)) for low, high in ((0, 1), (-2, 8), (-3, 6))),
        st.data(),
    )
    def test_contain_what_quantize_gives(self, overflow_mode, box, round_mode, k, i, f, data):
        k = np.ones_like(k) if overflow_mode == "WRAP_SM" else k
        bounds = Intervals().quantize(box[0], k, i, f, round_mode, overflow_mode)
        exact = integers.quantize(point(data, box[1]), k, i, f, round_mode, overflow_mode)
        assert_contains(bounds, exact)

    @given(boxes(4), boxes(6))
    def test_einsum_steps_are_the_finest_product_that_is_not_zero(self, left, right):
        intervals = Intervals()
        a, b = intervals.reshape(left[0], (2, 2)), intervals.reshape(right[0], (2, 3))
        got = intervals.einsum("bi,io->bo", a, b)
        terms = a.step[:, :, None] + b.step[None]
        absent = (a.step == NO_BITS)[:, :, None] | (b.step == NO_BITS)[None]
        expected = np.where(absent, NO_BITS, terms).max(1)
        moving = to_float(got.lo) != to_float(got.hi)
        assert got.step[moving].tolist() == expected[moving].tolist()

    def test_einsum_with_a_constant_is_tight(self):
        intervals = Intervals()
        x = intervals.between([[-1.0, 0.0]], [[2.0, 3.0]], 0)
        y = intervals.einsum("bi,io->bo", x, intervals.constant(np.array([[2.0, 1.0], [-1.0, 0.0]])))
        assert to_float(y.lo).tolist() == [[-5, -1]]
        assert to_float(y.hi).tolist() == [[4, 2]]

    def test_einsum_of_nonnegative_operands_is_tight(self):
        intervals = Intervals()
        a, b = intervals.between([1.0, 0.0], [2.0, 3.0], 0), intervals.between([2.0, 1.0], [5.0, 1.0], 0)
        y = intervals.einsum("i,i->", a, b)
        assert (float(to_float(y.lo)), float(to_float(y.hi))) == (2.0, 13.0)

    def test_input_holds_the_format(self):
        x = Intervals().input(1, np.array([2, -1]), np.array([1, 4]), (1, 3, 2))
        assert to_float(x.lo)[0, 0].tolist() == [-4, -0.5]
        assert to_float(x.hi)[0, 0].tolist() == [3.5, 0.4375]
        assert x.step[0, 0].tolist() == [1, 4]

    def test_between_keeps_to_the_grid(self):
        x = Intervals().between([-0.7], [0.7], 1)
        assert (to_float(x.lo).tolist(), to_float(x.hi).tolist()) == ([-0.5], [0.5])
        with pytest.raises(ExactnessError, match="grid"):
            Intervals().between([0.1], [0.2], 1)

    def test_saturation_may_leave_a_coarse_grid(self):
        x = Intervals().between([0.0], [100.0], 0)
        y = Intervals().quantize(x, 1, 3, 4, "RND", "SAT")
        assert (to_float(y.hi).tolist(), y.step.tolist()) == ([7.9375], [4])
        fits = Intervals().quantize(x, 1, 7, 4, "RND", "SAT")
        assert fits.step.tolist() == [0]

    def test_wrapping_widens_only_what_overflows(self):
        x = Intervals().between([-3.0, -3.0], [3.0, 9.0], 0)
        y = Intervals().quantize(x, 1, 3, 0, "RND", "WRAP")
        assert to_float(y.lo).tolist() == [-3, -8]
        assert to_float(y.hi).tolist() == [3, 7]

    def test_tables_have_a_limit(self):
        intervals = Intervals()
        fits = intervals.table(intervals.between(0.0, 2.0**20 - 1, 0), np.sqrt)
        assert float(to_float(fits.hi)) == np.sqrt(2.0**20 - 1)
        with pytest.raises(ExactnessError, match="entries"):
            intervals.table(intervals.between(0.0, 2.0**20, 0), np.sqrt)

    def test_tables_see_only_what_may_occur(self):
        intervals = Intervals()
        y = intervals.table(intervals.between(np.array([1.0, -4.0]), np.array([4.0, -2.0]), np.array([0, 1])), np.abs)
        assert (to_float(y.lo).tolist(), to_float(y.hi).tolist(), y.step.tolist()) == ([1, 2], [4, 4], [0, 1])


class TestRequiredBits:
    @pytest.fixture
    def intervals(self):
        return Intervals()

    def test_nothing_needs_nothing(self, intervals):
        assert intervals.required_bits == 0
        intervals.constant(np.array([1.0, 0.1]))
        assert intervals.required_bits == 0

    @pytest.mark.parametrize(("terms", "bits"), [(1, 8), (2, 9), (3, 10), (4, 10), (5, 11)])
    def test_of_a_sum(self, intervals, terms, bits):
        x = intervals.between(np.full((1, terms), -1.0), np.full((1, terms), 1.0), 8)
        intervals.sum(x, axis=-1)
        assert intervals.required_bits == bits

    def test_of_a_sum_counts_the_finest_step(self, intervals):
        intervals.add(intervals.between(0.0, 4.0, 0), intervals.between(0.0, 1.0, 3))
        assert intervals.required_bits == 6  # 40 steps of an eighth

    def test_of_an_einsum(self, intervals):
        x = intervals.input(1, 0, 7, (1, 3))
        intervals.einsum("bi,io->bo", x, intervals.constant(np.array([[0.5], [0.0], [0.75]])))
        assert intervals.required_bits == 10  # (2 + 3) quarters of 128 steps
        intervals.reset()
        assert intervals.required_bits == 0

    def test_zero_constants_do_not_count(self, intervals):
        x = intervals.between(np.array([[0.0, 0.0]]), np.array([[1.0, 1.0]]), np.array([2, 30]))
        intervals.einsum("bi,io->bo", x, intervals.constant(np.array([[1.0], [0.0]])))
        assert intervals.required_bits == 2
        intervals.add(intervals.gather(x, [0], 1), intervals.constant(np.zeros((1, 1))))
        assert intervals.required_bits == 2

    def test_constants_count_their_real_bits(self, intervals):
        x = intervals.input(0, 4, 0, (1,))
        intervals.multiply(x, intervals.constant(np.array([0.375])))
        assert intervals.required_bits == 6  # 3 * 15 eighths
        intervals.multiply(x, intervals.constant(np.array([2.0**-40])))
        assert intervals.required_bits == 6

    def test_of_saturation_to_a_wide_bound(self, intervals):
        x = intervals.between(0.0, 2.0**40, -20)
        intervals.quantize(x, 0, 15, 15, "RND", "SAT")
        assert intervals.required_bits == 30

    @given(boxes(4), boxes(4), st.permutations(range(4)), st.data())
    def test_that_many_bits_suffice_in_any_order(self, left, right, order, data):
        intervals = Intervals()
        intervals.einsum("i,i->", left[0], right[0])
        if intervals.required_bits > 11:
            return
        a, b = (to_float(point(data, members)).astype(np.float16) for _, members in (left, right))
        total = np.float16(0)
        for n in order:
            total = np.float16(total + np.float16(a[n] * b[n]))
        exact = integers.einsum("i,i->", from_float(a), from_float(b))
        assert equal(exact, np.asarray(total)).all()


def test_integers_take_the_first_of_several_statements():
    def never(a: IntegerArray) -> IntegerArray:
        raise ExactnessError("not asked")

    doubled = integers.cheapest(array(1, 2), lambda a: integers.shift(a, 1), never)
    assert fractions(doubled).tolist() == [2, 4]


def test_intervals_admit_what_all_statements_admit():
    intervals = Intervals()
    x = intervals.between([-3.0, 0.0], [2.0, 8.0], 2)

    def never(a: IntervalArray) -> IntervalArray:
        raise ExactnessError("too many entries for a table")

    square = intervals.cheapest(
        x,
        lambda a: intervals.multiply(a, a),  # as if both factors were independent
        never,
        lambda a: intervals.table(a, np.square),
    )
    assert fractions(square.lo).tolist() == [0, 0]
    assert fractions(square.hi).tolist() == [9, 64]
    assert square.step.tolist() == [4, 4]
    with pytest.raises(ExactnessError, match="too many entries for a table"):
        intervals.cheapest(x, never, lambda a: a)
