"""The surrogate gradients, one test per row of the table in docs/numerics.md#5."""

import math

import numpy as np
import pytest
from differentiation import differentiate

from hgq2_minifloat import ops, quantize

LN2 = math.log(2.0)
M, E, E0 = 2, 3, 1  # values up to 2^4 · 1.75 = 28, normal from 2^-2 on, smallest step 2^-4
HALF, TOP, LOW = 4, 2.0**4, 2.0**-2


def gradients(x, m=M, e=E, e0=E0, upstream=None, **options):
    """Value and gradients of x, m, e and e0, with a format for each element."""

    def quantized(x, m, e, e0):
        return ops.backend().quantize(x, m, e, e0, ops.Options(**options))[0]

    x = np.float32(x)
    return differentiate(quantized, x, *(np.full(x.shape, bits, np.float32) for bits in (m, e, e0)), upstream=upstream)


def check(got, wanted):
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, np.broadcast_to(other, one.shape), rtol=1e-6, atol=1e-12)


def test_normal_values():
    x = np.float32([0.25, 0.3, -1.1, 5.3, -28.0, 26.5])
    q, *got = gradients(x)
    check(got, (1.0, LN2 * (x - q), 0.0, 0.0))


def test_subnormal_values():
    x = np.float32([0.2, -0.1, 0.01, 0.0, -0.2499])
    q, *got = gradients(x)
    d = x - q
    check(got, (1.0, LN2 * d, LN2**2 * HALF * d, -LN2 * d))


def test_what_saturates():
    x = np.float32([28.001, 1000.0, -29.0])
    sign = np.sign(x)
    q, *got = gradients(x)
    check([q], [28 * sign])
    check(got, (0.0, LN2 * sign * 2.0 ** (4 - M), LN2**2 * HALF * q, LN2 * q))


def test_what_saturates_may_pass_its_gradient():
    _, d_x, *_ = gradients([28.001, -1000.0, 3.0], overflow_gradient=1)
    assert d_x.tolist() == [1.0, 1.0, 1.0]


def test_a_reserved_top_saturates_there():
    q, d_x, *_ = gradients([24.5, 24.0, 23.0], max_value=24.0)
    assert (q.tolist(), d_x.tolist()) == ([24.0, 24.0, 24.0], [0.0, 1.0, 1.0])


def test_without_exponent_bits_all_is_subnormal():
    x = np.float32([0.3, -1.1, 2.0])  # steps of 1/2, up to 1.5
    q, *got = gradients(x, e=0)
    d, beyond = x - q, np.abs(x) > 1.5
    check(
        got,
        (
            1.0 - beyond,
            LN2 * np.where(beyond, np.sign(x) * 0.5, d),
            LN2**2 * np.where(beyond, q, d),
            LN2 * np.where(beyond, q, -d),
        ),
    )


def test_pruned_formats_keep_the_gradient_of_m():
    x = np.float32([3.0, -0.1, 100.0])  # as m = 0: up to 16
    q, d_x, d_m, *_ = gradients(x, m=-1)
    assert q.tolist() == [0.0] * 3
    check((d_x, d_m), ([1.0, 1.0, 0.0], LN2 * np.float32([3.0, -0.1, 16.0])))


def test_bits_are_rounded_half_to_even_straight_through():
    one = gradients([0.3, 5.3, 50.0], m=2.4, e=3.4, e0=0.5 + 1e-6)
    check(one, gradients([0.3, 5.3, 50.0], m=2, e=3, e0=1))


def test_shared_axes_are_summed():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(6, 3)) * np.exp2(rng.uniform(-6, 6, (6, 3)))).astype(np.float32)
    upstream = rng.normal(size=(6, 3)).astype(np.float32)
    bits = np.float32([[2, 1, 3]]), np.float32([[3], [2], [3], [0], [1], [2]]), np.float32(1.0)

    def quantized(x, m, e, e0):
        return ops.backend().quantize(x, m, e, e0, ops.Options())[0]

    q, d_x, d_m, d_e, d_e0 = differentiate(quantized, x, *bits, upstream=upstream)
    full = [np.broadcast_to(each, x.shape) for each in bits]
    wanted = differentiate(quantized, x, *full, upstream=upstream)
    np.testing.assert_array_equal(q, quantize(x, *bits))
    check((q, d_x), wanted[:2])
    np.testing.assert_allclose(d_m, wanted[2].sum(0, keepdims=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(d_e, wanted[3].sum(1, keepdims=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(d_e0, wanted[4].sum(), rtol=1e-5, atol=1e-6)


def test_bits_count_and_pay():
    def counted(m, e, e0):
        options = ops.Options(regularizers=(0.5, 0.25, 2.0))
        _, bits, paid = ops.backend().quantize(np.float32([1.0, 1.0, 1.0]), m, e, e0, options)
        return bits, paid

    m, e, e0 = np.float32([2.4, -0.4, -0.6]), np.float32([3.0, 2.6, 4.0]), np.float32([1.0, 0.0, -1.0])
    bits, d_m, d_e, d_e0 = differentiate(lambda *v: counted(*v)[0], m, e, e0)
    assert bits.tolist() == [6.0, 4.0, 0.0]
    assert (d_m.tolist(), d_e.tolist(), d_e0.tolist()) == ([1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0] * 3)
    paid, d_m, d_e, d_e0 = differentiate(lambda *v: counted(*v)[1], m, e, e0)
    assert paid == pytest.approx(0.5 * 1.4 + 0.25 * 9.6)
    assert (d_m.tolist(), d_e.tolist(), d_e0.tolist()) == ([0.5] * 3, [0.25] * 3, [2.0] * 3)


def test_what_needs_no_gradient_gets_none():
    bits = np.float32([2.0, 2.0])
    _, d_x = differentiate(lambda x: ops.quantize(x, bits, bits, bits), [0.3, 900.0])
    assert d_x.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("x", "start", "moves"),
    [
        (np.linspace(1.0, 1.9, 50), (1.0, 2.0, 1.0), {"m": +1}),  # too coarse
        (np.linspace(50.0, 90.0, 50), (2.0, 3.0, 0.0), {"m": +1, "e": +1, "e0": +1}),  # beyond the range
        (np.linspace(0.01, 0.1, 50), (2.0, 2.0, 0.0), {"m": +1, "e": +1, "e0": -1}),  # below the normal values
    ],
)
def test_descent_moves_the_bits_where_the_error_falls(x, start, moves):
    def error(x, m, e, e0):
        return (ops.quantize(x, m, e, e0) - x) ** 2

    _, _, *slopes = differentiate(error, x, *start)
    signs = dict(zip(("m", "e", "e0"), (-np.sign(slope).item() for slope in slopes), strict=True))
    assert signs == {"m": 0, "e": 0, "e0": 0, **moves}
