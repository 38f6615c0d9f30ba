"""Ports of a circuit: the format of every number that goes in or comes out, and the widths inside."""

from __future__ import annotations

from dataclasses import dataclass

PORTS = "ports.json"
"""What a host needs to know of a circuit."""


@dataclass(frozen=True)
class Element:
    """One number of a port: a fixed-point format and its place among the port's bits.

    Args:
        k: 1 where there is a sign.
        i: integer bits without the sign.
        f: fraction bits.
        width: k + i + f; 0 for a number that is constant 0 or that nothing reads.
        offset: of its lowest bit, from the lowest bit of the circuit's whole input or output.
        round_mode: how the host rounds an input; None for outputs.
        overflow_mode: how the host brings it into range; None for outputs.
    """

    k: int
    i: int
    f: int
    width: int
    offset: int
    round_mode: str | None = None
    overflow_mode: str | None = None


@dataclass(frozen=True)
class Port:
    """An input or output of the model, in the circuit.

    Args:
        name: the Keras tensor's.
        shape: without the batch axis.
        elements: in C order.
    """

    name: str
    shape: tuple[int, ...]
    elements: tuple[Element, ...]

    @property
    def bits(self) -> int:
        """The bits of all elements."""
        return sum(element.width for element in self.elements)

    def __str__(self) -> str:
        widths = sorted({element.width for element in self.elements})
        shape = " × ".join(map(str, self.shape))
        each = f"{widths[0]}" if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
        return f"{self.name} [{shape}], {self.bits} bits ({each} each)"


@dataclass(frozen=True)
class LayerWidths:
    """The bits of one layer's outputs: how many there are, the widest, and all together."""

    name: str
    outputs: int
    widest: int
    bits: int
