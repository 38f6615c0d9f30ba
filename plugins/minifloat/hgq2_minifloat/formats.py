"""The values of a minifloat format (m, e, e0): exponents, limits, codes, and the name of a standard format.

A sign, e exponent bits and m mantissa bits; bias 2^(e-1) - e0; subnormals; every code finite (docs/numerics.md#5).
Where a standard reserves its top codes for infinities and NaN, `max_value` ends the range before them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Format(NamedTuple):
    """One format.

    Args:
        m: mantissa bits; below 0, all that is left is 0.
        e: exponent bits; without any, all codes are subnormal, which is fixed point.
        e0: exponent offset, by which the exponents are shifted up.
        max_value: the largest value where the top codes are reserved; a value of the format.
    """

    m: int
    e: int
    e0: int
    max_value: float = math.inf

    @property
    def half(self) -> int:
        """Half of the number of exponents."""
        return 1 << max(self.e - 1, 0)

    @property
    def emin(self) -> int:
        """The exponent of the smallest normal value (emin) and of the subnormal ones."""
        return 1 - self.half + self.e0

    @property
    def emax(self) -> int:
        """The exponent of the largest values (emax)."""
        return self.half - 1 + self.e0

    @property
    def step(self) -> float:
        """The smallest step."""
        return math.ldexp(1.0, self.emin - self.m)

    @property
    def largest(self) -> float:
        """The largest value."""
        full = 2.0 if self.e > 0 else 1.0
        top = math.ldexp(full - math.ldexp(1.0, -self.m), self.emax) if self.m >= 0 else 0.0
        return min(top, self.max_value)

    @property
    def bits(self) -> int:
        """Bits of a code: the sign, the exponent, the mantissa; 0 if m is below 0."""
        return 1 + self.e + self.m if self.m >= 0 else 0

    def code(self, magnitude: float) -> float:
        """Return the place of a magnitude among the values from 0 on; a whole number for those of the format alone."""
        exponent = max(math.frexp(magnitude)[1] - 1, self.emin) if magnitude else self.emin
        return math.ldexp(magnitude, self.m - exponent) + ((exponent - self.emin) << max(self.m, 0))

    def holds(self, magnitude: float) -> bool:
        """Return True if a magnitude is a value of the format."""
        return 0 <= magnitude <= self.largest and self.code(magnitude).is_integer()

    def magnitudes(self) -> list[float]:
        """Return every value that is not negative, rising."""
        if self.m < 0:
            return [0.0]
        size = 1 << self.m
        values = [mantissa * self.step for mantissa in range(size)]
        for exponent in range(self.emin, self.emax + 1 if self.e else self.emin):
            values += [math.ldexp(size + mantissa, exponent - self.m) for mantissa in range(size)]
        return [value for value in values if value <= self.max_value]

    @property
    def name(self) -> str:
        """The standard's name; empty where there is none."""
        return _NAMES.get(self, "")


STANDARDS: Mapping[str, Format] = MappingProxyType(
    {
        "float4_e2m1fn": Format(1, 2, 1),
        "float6_e2m3fn": Format(3, 2, 1),
        "float6_e3m2fn": Format(2, 3, 1),
        "float8_e3m4": Format(4, 3, 1, 15.5),
        "float8_e4m3": Format(3, 4, 1, 240.0),
        "float8_e4m3b11fnuz": Format(3, 4, -3),
        "float8_e4m3fn": Format(3, 4, 1, 448.0),
        "float8_e4m3fnuz": Format(3, 4, 0),
        "float8_e5m2": Format(2, 5, 1, 57344.0),
        "float8_e5m2fnuz": Format(2, 5, 0),
        "bfloat16": Format(7, 8, 1, math.ldexp(2.0 - 2.0**-7, 127)),
        "float16": Format(10, 5, 1, 65504.0),
    }
)
"""The standard formats by name."""

_NAMES = {form: name for name, form in STANDARDS.items()}
