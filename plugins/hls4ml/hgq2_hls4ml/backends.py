"""What the backends of hls4ml differ in: how they write types and arrays, and what they have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from typing_extensions import override

from hgq2_core.exporting.errors import Unsupported

Kif = tuple[int, int, int]
"""A fixed-point format: sign, integer bits without it, fraction bits."""


class Backend(ABC):
    """A backend of hls4ml."""

    fewest_bits = 1
    """Bits of its narrowest type."""
    simulated = False
    """Whether what is written for it is compiled and compared here."""
    matrices = True
    """Whether it multiplies matrices, not only a vector by a matrix."""
    positions = False
    """Whether it computes the positions of a product in turn."""

    @abstractmethod
    def fixed(self, kif: Kif, round_mode: str = "TRN", overflow_mode: str = "WRAP") -> str:
        """Return the type of a format.

        Args:
            kif: the format, of at least one bit.
            round_mode: how a value is rounded that becomes one of the type.
            overflow_mode: what becomes of a value that is too large.

        Raises:
            Unsupported: the type has no such mode, or not so few bits.
        """

    @abstractmethod
    def index(self, value: str, width: int) -> str:
        """Return the bits of a value as an unsigned number."""

    def argument(self, type_name: str, name: str) -> str:
        """Return the declaration of an array among a function's arguments."""
        return f"{type_name} *{name}"

    def holding(self, kif: Kif) -> Kif:
        """Return the format of a type that holds all values of a format, which may have no bits."""
        k, i, f = kif
        return k, i + max(0, self.fewest_bits - k - i - f), f


class Xilinx(Backend):
    """Vivado and Vitis, with ap_fixed."""

    simulated = True
    positions = True

    @override
    def fixed(self, kif: Kif, round_mode: str = "TRN", overflow_mode: str = "WRAP") -> str:
        k, i, f = kif
        modes = "" if (round_mode, overflow_mode) == ("TRN", "WRAP") else f", AP_{round_mode}, AP_{overflow_mode}"
        return f"ap_{'' if k else 'u'}fixed<{k + i + f}, {k + i}{modes}>"

    @override
    def index(self, value: str, width: int) -> str:
        return f"{value}.range({width - 1}, 0).to_uint()"


class Quartus(Backend):
    """Quartus, with ac_fixed of two bits at least."""

    fewest_bits = 2
    matrices = False

    @override
    def fixed(self, kif: Kif, round_mode: str = "TRN", overflow_mode: str = "WRAP") -> str:
        k, i, f = kif
        if k + i + f < self.fewest_bits:
            raise Unsupported("a quantizer to 1 bit. oneAPI and Quartus have no type of fewer than 2 bits.")
        if overflow_mode == "WRAP_SM":
            raise Unsupported("overflow_mode='WRAP_SM'. oneAPI and Quartus have no such mode.")
        modes = "" if (round_mode, overflow_mode) == ("TRN", "WRAP") else f", AC_{round_mode}, AC_{overflow_mode}"
        return f"ac_fixed<{k + i + f}, {k + i}, {'true' if k else 'false'}{modes}>"

    @override
    def index(self, value: str, width: int) -> str:
        return f"{value}.slc<{width}>(0).to_uint()"


class OneAPI(Quartus):
    """The backend oneAPI, whose arrays are objects."""

    matrices = True

    @override
    def argument(self, type_name: str, name: str) -> str:
        return f"{'' if type_name == 'output_t' else 'const '}{type_name} &{name}"


BACKENDS: Mapping[str, Backend] = {"Vitis": Xilinx(), "Vivado": Xilinx(), "oneAPI": OneAPI(), "Quartus": Quartus()}
