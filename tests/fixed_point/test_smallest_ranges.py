"""KBI and KIF: the smallest i that holds every value after rounding; docs/numerics.md#3."""

from __future__ import annotations

import numpy as np
import pytest
from arrays import numpy_of
from quantizing import activation, array, calibrate, number, run

from hgq2_fixed_point import KBI, KIF, quantize
from hgq2_fixed_point.modes import ROUND_MODES

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
