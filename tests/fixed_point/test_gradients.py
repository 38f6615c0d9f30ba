"""The surrogate gradients, one test per row of the table in docs/numerics.md#2; all comparisons are exact."""

import numpy as np
import pytest
from differentiation import differentiate

from hgq2_fixed_point import ops, quantize

LN2 = float(np.float32(np.log(2.0)))


def gradients(x, k, i, f, overflow_mode, round_mode="RND", *, training=False, op=ops.quantize, upstream=None):
    """Value and gradients of x, i and f (or x, b and i) as lists; 0 where nothing is propagated."""

    def quantized(x, i, f):
        first, second = (i, f) if op is ops.quantize else (f, i)
        return op(x, np.float32(k), first, second, round_mode, overflow_mode, training=training)

    return tuple(v.tolist() for v in differentiate(quantized, x, i, f, upstream=upstream))


def ln2(*factors):
    return [float(np.float32(LN2) * np.float32(v)) for v in factors]


def each(x, k, overflow_mode, i=2.0, f=1.0, **options):
    """Like `gradients` with a format per element; by default max 3.5, min -4 (SAT), step 0.5."""
    return gradients(x, k, [i] * len(x), [f] * len(x), overflow_mode, **options)


@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "SAT_ZERO"])
def test_in_range(overflow_mode):
    x = [0.75 - 2**-6, 3.5, -3.5, 0.0, 1.1875]
    q, d_x, d_i, d_f = each(x, 1.0, overflow_mode)
    assert d_x == [1.0] * 5
    assert d_f == ln2(*(np.float32(a) - np.float32(b) for a, b in zip(x, q, strict=True)))
    assert d_i == [0.0] * 5


@pytest.mark.parametrize("k", [0.0, 1.0])
@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "SAT_ZERO"])
def test_above_the_range(overflow_mode, k):
    _, d_x, d_i, d_f = each([3.625, 100.0], k, overflow_mode)  # 3.625 rounds back into the range: the unrounded counts
    assert d_x == [0.0, 0.0]
    assert d_f == ln2(0.5, 0.5)
    assert d_i == ln2(4.0, 4.0)


@pytest.mark.parametrize("k", [0.0, 1.0])
@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_ZERO"])
def test_below_the_range(overflow_mode, k):
    _, d_x, d_i, d_f = each([-4.125, -100.0], k, overflow_mode)
    assert d_x == [0.0, 0.0]
    assert d_f == [0.0, 0.0]
    assert d_i == ln2(-4.0 * k, -4.0 * k)


@pytest.mark.parametrize("k", [0.0, 1.0])
def test_below_the_symmetric_range(k):
    _, d_x, d_i, d_f = each([-3.625, -100.0], k, "SAT_SYM")
    assert d_x == [0.0, 0.0]
    assert d_f == ln2(-0.5 * k, -0.5 * k)
    assert d_i == ln2(-4.0 * k, -4.0 * k)


@pytest.mark.parametrize("overflow_mode", ["WRAP", "WRAP_SM"])
def test_wrapping_in_training_rounds_only(overflow_mode):
    q, d_x, d_i, d_f = each([0.625, 100.125, -7.375], 1.0, overflow_mode, training=True)
    assert q == [0.5, 100.0, -7.5]
    assert d_x == [1.0] * 3
    assert d_f == ln2(0.125, 0.125, 0.125)
    assert not any(d_i)


def test_wrapping_outside_training_wraps():
    q, d_x, d_i, _ = each([100.125, 1.0], 1.0, "WRAP")
    assert q == [-4.0, 1.0]
    assert d_x == [1.0, 1.0]
    assert not any(d_i)


@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "SAT_ZERO"])
def test_pruned_formats_use_the_larger_of_i_and_minus_f(overflow_mode):
    q, d_x, d_i, d_f = each([3.0, 0.0, -3.0], 1.0, overflow_mode, i=-2.0, f=1.0)  # as i = -1: max 0, min -0.5 (SAT)
    assert q == [0.0] * 3
    assert d_x == [0.0, 1.0, 0.0]
    assert d_i == ln2(0.5, 0.0, -0.5)
    assert d_f == ln2(0.5, 0.0, -0.5 if overflow_mode == "SAT_SYM" else 0.0)


@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_ZERO"])
def test_pruned_formats_within_the_remaining_range(overflow_mode):
    q, d_x, d_i, d_f = each([-0.5, -0.375], 1.0, overflow_mode, i=-2.0, f=1.0)
    assert q == [0.0, 0.0]
    assert d_x == [1.0, 1.0]
    assert d_f == ln2(-0.5, -0.375)
    assert d_i == [0.0, 0.0]


def test_pruned_formats_that_wrap_keep_the_gradient_of_f():
    q, d_x, _, d_f = each([3.0, -0.25], 1.0, "WRAP", i=-2.0, f=1.0, training=True)
    assert q == [0.0, 0.0]
    assert d_x == [1.0, 1.0]
    assert d_f == ln2(3.0, -0.25)


@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "SAT_ZERO"])
@pytest.mark.parametrize("k", [0.0, 1.0])
def test_shared_axes_are_summed(overflow_mode, k):
    rng = np.random.default_rng(0)
    x, upstream = rng.integers(-64, 64, (6, 3)) / 8, rng.integers(-4, 5, (6, 3)).astype(np.float32)
    i, f = np.array([[2.0, 1.0, -1.0]]), np.array([[1.0, 0.0, 0.0]])
    q, d_x, d_i, d_f = gradients(x.tolist(), k, i.tolist(), f.tolist(), overflow_mode, upstream=upstream)
    full = (np.broadcast_to(v, x.shape).tolist() for v in (i, f))
    q_each, d_x_each, d_i_each, d_f_each = gradients(x.tolist(), k, *full, overflow_mode, upstream=upstream)
    assert (q, d_x) == (q_each, d_x_each)
    np.testing.assert_allclose(d_i, np.sum(d_i_each, 0, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(d_f, np.sum(d_f_each, 0, keepdims=True), rtol=1e-6)


def test_i_and_f_may_be_shared_differently():
    x = [[0.125, 5.0], [0.125, -5.0], [7.0, 0.25]]
    _, _, d_i, d_f = gradients(x, 1.0, 2.0, [[1.0, 1.0]], "SAT_SYM")
    assert d_i == pytest.approx(LN2 * 4.0)
    assert d_f == [pytest.approx([LN2 * (0.125 + 0.125 + 0.5), LN2 * -0.25], rel=1e-6)]


@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "SAT_ZERO"])
def test_kbi_follows_from_kif(overflow_mode):
    x = [0.625, 5.0, -5.0, 3.5, -3.5]
    n = len(x)
    q, d_x, d_i, d_f = gradients(x, 1.0, [2.0] * n, [1.0] * n, overflow_mode)
    q_kbi, d_x_kbi, d_i_kbi, d_b = gradients(x, 1.0, [2.0] * n, [3.0] * n, overflow_mode, op=ops.quantize_kbi)
    assert (q_kbi, d_x_kbi, d_b) == (q, d_x, d_f)
    assert d_i_kbi == [float(np.float32(a) - np.float32(b)) for a, b in zip(d_i, d_f, strict=True)]


def test_kbi_wrapping_in_training_does_not_train_i():
    q, d_x, d_i, d_b = each([100.125], 1.0, "WRAP", f=3.0, training=True, op=ops.quantize_kbi)
    assert (q, d_x, d_i, d_b) == ([100.0], [1.0], [0.0], ln2(0.125))


def test_bits_are_rounded_half_to_even_straight_through():
    q, _, _, d_f = each([0.625, 0.625], 1.0, "SAT", i=2.4, f=0.5)
    assert q == [1.0, 1.0]
    assert d_f == ln2(-0.375, -0.375)
    upstream = np.float32([1.0, 2.0, 3.0, 4.0])
    bits, d_v = differentiate(ops.backend().round_bits, [0.5, 1.5, 2.5, -0.5], upstream=upstream)
    assert bits.tolist() == [0.0, 2.0, 2.0, 0.0]
    assert d_v.tolist() == upstream.tolist()


def test_clipped_bits_have_no_gradient_where_nothing_is_left():
    bits, d_v = differentiate(lambda v: ops.backend().clipped_bits(v, 1.0), [2.6, 0.4, -0.6, -1.0, -3.0])
    assert bits.tolist() == [4.0, 1.0, 0.0, 0.0, 0.0]
    assert d_v.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_what_needs_no_gradient_gets_none():
    bits = np.float32([2.0, 2.0])
    for overflow_mode in ("WRAP", "SAT_SYM"):

        def quantized(x, overflow_mode=overflow_mode):
            return ops.quantize(x, np.float32(1.0), bits, bits, "RND", overflow_mode, training=True)

        _, d_x = differentiate(quantized, [0.3, 9.0])
        assert d_x.tolist() == [1.0, 1.0 if overflow_mode == "WRAP" else 0.0]


def test_clipped_bits_pass_the_gradient_to_the_offset():
    def bits(f, i):
        return ops.backend().clipped_bits(f, ops.backend().round_bits(i) + 1.0)

    _, d_f, d_i = differentiate(bits, [[1.0, -3.0]], 2.0)
    assert d_f.tolist() == [[1.0, 0.0]]
    assert d_i.tolist() == 1.0


def table(x, k, i, f, overflow_mode):
    """docs/numerics.md#2 for one element with bits left, in float64."""
    q = quantize(np.float64(x), k, i, f, "RND_CONV", overflow_mode)
    symmetric, step, top = overflow_mode == "SAT_SYM", 2.0**-f, 2.0**i
    above, below = x > top - step, x < -k * (top - step if symmetric else top)
    d_f = np.where(above, step, np.where(below, -k * step * symmetric, x - q))
    d_i = np.where(above, top, np.where(below, -k * top, 0.0))
    return 1.0 - (above | below), d_i * np.log(2.0), d_f * np.log(2.0)


@pytest.mark.parametrize("k", [0.0, 1.0])
@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "SAT_ZERO"])
@pytest.mark.parametrize("op", [ops.quantize, ops.quantize_kbi])
def test_random_and_edge_values_follow_the_table(op, overflow_mode, k):
    rng = np.random.default_rng(0)
    i, f = rng.integers(-2, 5, 400).astype(np.float32), rng.integers(3, 7, 400).astype(np.float32)
    top, step = 2.0**i, 2.0**-f
    edges = [top - step, top, -top, step - top, 0 * top, np.nextafter(top - step, 9, dtype=np.float32)]
    x = np.concatenate([rng.normal(size=200) * 4, *(edge[200 + 30 * n :][:30] for n, edge in enumerate(edges))])
    x, i, f = x.astype(np.float32), i[: len(x)], f[: len(x)]
    second = f if op is ops.quantize else i + f
    _, d_x, d_i, d_f = gradients(x, k, i, second, overflow_mode, "RND_CONV", op=op)
    wanted_x, wanted_i, wanted_f = table(x, k, i, f, overflow_mode)
    wanted_i = wanted_i if op is ops.quantize else wanted_i - wanted_f
    for got, wanted in ((d_x, wanted_x), (d_i, wanted_i), (d_f, wanted_f)):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)
