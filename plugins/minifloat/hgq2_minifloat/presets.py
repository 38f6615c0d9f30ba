"""The standard formats as kinds of their own. Imports no backend."""

from __future__ import annotations

from typing import ClassVar

from hgq2_minifloat.config import StandardFormat
from hgq2_minifloat.formats import STANDARDS, Format


class Float4E2M1FN(StandardFormat):
    """4 bits, 2 of exponent and 1 of mantissa, up to 6; OCP MXFP4 with `block`."""

    standard: ClassVar[Format] = STANDARDS["float4_e2m1fn"]


class Float6E2M3FN(StandardFormat):
    """6 bits, 2 of exponent and 3 of mantissa, up to 7.5; OCP MXFP6 with `block`."""

    standard: ClassVar[Format] = STANDARDS["float6_e2m3fn"]


class Float6E3M2FN(StandardFormat):
    """6 bits, 3 of exponent and 2 of mantissa, up to 28; OCP MXFP6 with `block`."""

    standard: ClassVar[Format] = STANDARDS["float6_e3m2fn"]


class Float8E3M4(StandardFormat):
    """8 bits, 3 of exponent and 4 of mantissa, up to 15.5."""

    standard: ClassVar[Format] = STANDARDS["float8_e3m4"]


class Float8E4M3(StandardFormat):
    """8 bits, 4 of exponent and 3 of mantissa, as IEEE would have it: up to 240."""

    standard: ClassVar[Format] = STANDARDS["float8_e4m3"]


class Float8E4M3B11FNUZ(StandardFormat):
    """8 bits, 4 of exponent with bias 11 and 3 of mantissa, up to 30."""

    standard: ClassVar[Format] = STANDARDS["float8_e4m3b11fnuz"]


class Float8E4M3FN(StandardFormat):
    """8 bits, 4 of exponent and 3 of mantissa, up to 448; OCP FP8, and MXFP8 with `block`."""

    standard: ClassVar[Format] = STANDARDS["float8_e4m3fn"]


class Float8E4M3FNUZ(StandardFormat):
    """8 bits, 4 of exponent with bias 8 and 3 of mantissa, up to 240."""

    standard: ClassVar[Format] = STANDARDS["float8_e4m3fnuz"]


class Float8E5M2(StandardFormat):
    """8 bits, 5 of exponent and 2 of mantissa, up to 57344; OCP FP8, and MXFP8 with `block`."""

    standard: ClassVar[Format] = STANDARDS["float8_e5m2"]


class Float8E5M2FNUZ(StandardFormat):
    """8 bits, 5 of exponent with bias 16 and 2 of mantissa, up to 57344."""

    standard: ClassVar[Format] = STANDARDS["float8_e5m2fnuz"]


class BFloat16(StandardFormat):
    """16 bits, 8 of exponent and 7 of mantissa: the upper half of a float32, saturating."""

    standard: ClassVar[Format] = STANDARDS["bfloat16"]


class Float16(StandardFormat):
    """16 bits, 5 of exponent and 10 of mantissa: IEEE's half, saturating at 65504."""

    standard: ClassVar[Format] = STANDARDS["float16"]
