"""Ports of a circuit: the format of every input and output number, and the widths of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PORTS = "ports.json"
"""The file that describes the circuit's ports to a host."""


@dataclass(frozen=True)
class Element:
    """One number of a port: a fixed-point format and its place among the port's bits.

    Args:
        k: 1 with a sign, else 0.
        i: integer bits without the sign.
        f: fraction bits.
        width: k + i + f; 0 for a number that is constant 0 or not read.
        offset: index of its lowest bit in the circuit's whole input or output.
        round_mode: rounding mode that the host applies to an input; None for outputs.
        overflow_mode: overflow mode that the host applies to an input; None for outputs.
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
        name: name of the Keras tensor.
        shape: its shape without the batch axis.
        elements: its numbers, in C order.
    """

    name: str
    shape: tuple[int, ...]
    elements: tuple[Element, ...]

    @property
    def bits(self) -> int:
        """Total number of bits of all elements."""
        return sum(element.width for element in self.elements)

    def __str__(self) -> str:
        widths = sorted({element.width for element in self.elements})
        shape = " × ".join(map(str, self.shape))
        each = f"{widths[0]}" if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
        return f"{self.name} [{shape}], {self.bits} bits ({each} each)"


@dataclass(frozen=True)
class LayerWidths:
    """The widths of one layer's outputs: their number, the largest width, and the total."""

    name: str
    outputs: int
    widest: int
    bits: int


def ports_of(
    tensors: Sequence[tuple[str, Sequence[int]]],
    formats: Iterable[tuple[int, int, int]],
    modes: Iterable[tuple[str | None, str | None]] | None = None,
) -> tuple[Port, ...]:
    """Return the ports of a model's inputs or outputs, whose bits lie one after the other.

    Args:
        tensors: name, and shape without the batch axis, of each.
        formats: (k, i, f) of each number, tensors concatenated.
        modes: rounding and overflow mode of each number; None for outputs.
    """
    numbers, how = iter(formats), None if modes is None else iter(modes)
    ports, offset = [], 0
    for name, shape in tensors:
        elements = []
        for _ in range(math.prod(shape)):
            k, i, f = (int(bits) for bits in next(numbers))
            elements.append(Element(k, i, f, k + i + f, offset, *(next(how) if how else ())))
            offset += k + i + f
        ports.append(Port(name, tuple(shape), tuple(elements)))
    return tuple(ports)
