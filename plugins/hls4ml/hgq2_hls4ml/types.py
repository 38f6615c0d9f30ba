"""How the backends of hls4ml write fixed-point types: Xilinx' ap_fixed, or Siemens' ac_fixed."""

from __future__ import annotations

from abc import ABC, abstractmethod

from hgq2_core.exporting.errors import Unsupported

Kif = tuple[int, int, int]
"""A fixed-point format: sign, integer bits without it, fraction bits."""


class Types(ABC):
    """The types of a backend."""

    fewest_bits = 1
    element: str
    """The type of the elements of a function's output."""

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

    @abstractmethod
    def argument(self, type_name: str, name: str) -> str:
        """Return the declaration of a function's argument."""

    def holding(self, kif: Kif) -> Kif:
        """Return the format of a type that holds all values of a format, which may have no bits."""
        k, i, f = kif
        return k, i + max(0, self.fewest_bits - k - i - f), f


class ApTypes(Types):
    """The types of Vivado and Vitis."""

    element = "output_t"

    def fixed(self, kif: Kif, round_mode: str = "TRN", overflow_mode: str = "WRAP") -> str:
        k, i, f = kif
        modes = "" if (round_mode, overflow_mode) == ("TRN", "WRAP") else f", AP_{round_mode}, AP_{overflow_mode}"
        return f"ap_{'' if k else 'u'}fixed<{k + i + f}, {k + i}{modes}>"

    def index(self, value: str, width: int) -> str:
        return f"{value}.range({width - 1}, 0).to_uint()"

    def argument(self, type_name: str, name: str) -> str:
        return f"{type_name} *{name}"


class AcTypes(Types):
    """The types of oneAPI and Quartus, of two bits at least."""

    element = "typename output_t::value_type"
    fewest_bits = 2

    def fixed(self, kif: Kif, round_mode: str = "TRN", overflow_mode: str = "WRAP") -> str:
        k, i, f = kif
        if k + i + f < self.fewest_bits:
            raise Unsupported(f"a type of {k + i + f} bit. oneAPI and Quartus have none of fewer than two bits.")
        if overflow_mode == "WRAP_SM":
            raise Unsupported("overflow_mode='WRAP_SM'. oneAPI and Quartus have no such mode.")
        modes = "" if (round_mode, overflow_mode) == ("TRN", "WRAP") else f", AC_{round_mode}, AC_{overflow_mode}"
        return f"ac_fixed<{k + i + f}, {k + i}, {'true' if k else 'false'}{modes}>"

    def index(self, value: str, width: int) -> str:
        return f"{value}.template slc<{width}>(0).to_uint()"

    def argument(self, type_name: str, name: str) -> str:
        return f"{'' if type_name == 'output_t' else 'const '}{type_name} &{name}"
