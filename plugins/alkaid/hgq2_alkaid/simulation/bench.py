"""What a bench needs to know of a circuit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hgq2_core.exporting.ports import Port


@dataclass(frozen=True)
class Bench:
    """A circuit and the number of its test vectors.

    Args:
        top: name of its module, entity or function.
        inputs: its input ports.
        outputs: its output ports.
        samples: number of test vectors.
        cycles: clock cycles from an input to its output; 0 without a clock.
    """

    top: str
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    samples: int
    cycles: int

    @property
    def widths(self) -> tuple[int, int]:
        """Bits of all inputs, and of all outputs."""
        return sum(port.bits for port in self.inputs), sum(port.bits for port in self.outputs)
