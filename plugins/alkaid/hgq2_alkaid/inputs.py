"""The inputs of a circuit: each number enters in the format of the first quantizer that is applied to it."""

from __future__ import annotations

from math import ldexp
from typing import NamedTuple

from alkaid.trace import FVariable, HWConfig

from hgq2_alkaid.errors import Unsupported


class Format(NamedTuple):
    """A fixed-point format, with rounding and overflow modes."""

    k: int
    i: int
    f: int
    round_mode: str
    overflow_mode: str

    def __str__(self) -> str:
        return f"k={self.k} i={self.i} f={self.f} {self.round_mode} {self.overflow_mode}"

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value; both 0 for a format without bits."""
        if self.k + self.i + self.f <= 0:
            return 0.0, 0.0
        most = ldexp(1.0, self.i) - ldexp(1.0, -self.f)
        return -self.k * (most if self.overflow_mode == "SAT_SYM" else ldexp(1.0, self.i)), most

    def variable(self, hwconf: HWConfig) -> FVariable:
        """Return an input of the circuit in this format."""
        if self.bounds == (0.0, 0.0):
            return FVariable(0.0, 0.0, 1.0, hwconf=hwconf)
        # All values of the bits, also for SAT_SYM: alkaid traces again from the bits alone, and a table must fit
        # both times.
        least, most = self._replace(overflow_mode="SAT").bounds
        return FVariable(least, most, ldexp(1.0, -self.f), hwconf=hwconf)


UNUSED = Format(0, 0, 0, "TRN", "WRAP")
"""The format of an input that is not used, without bits."""


class InputElement:
    """One number of a model's input, before its format is known.

    The first quantizer sets the format; the host applies this quantizer, and the circuit takes the result.

    Args:
        name: name of the model's input.
        integer: the format of its integer dtype, used if no quantizer comes first; None for floats.
    """

    def __init__(self, name: str, integer: Format | None = None) -> None:
        self.name = name
        self.integer = integer
        self.format: Format | None = None
        self.variable: FVariable | None = None

    def quantize(self, wanted: Format, hwconf: HWConfig) -> FVariable:
        """Set the format, and return the input of the circuit.

        Raises:
            Unsupported: another quantizer has set another format.
        """
        if self.variable is None:
            self.format, self.variable = wanted, wanted.variable(hwconf)
        if self.format != wanted:
            raise Unsupported(
                f"it quantizes input {self.name!r} otherwise than another layer does. Received: {wanted}, and there "
                f"{self.format}. Let both quantize it alike, or say input_format=(k, i, f)."
            )
        return self.variable

    def entry(self, hwconf: HWConfig) -> FVariable:
        """Return the input of the circuit, without bits if no quantizer has set a format."""
        return UNUSED.variable(hwconf) if self.variable is None else self.variable
