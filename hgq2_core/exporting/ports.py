"""Ports of an export: the format of every input and output number, and the widths of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import override

from hgq2_core.errors import ConfigError
from hgq2_core.schema.base import as_config_error

PORTS = "ports.json"
"""The file that describes the export's ports to a host."""

WIDEST = 62
"""Bits of a port's number: what a host computes with int64."""

STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Steps:
    """A quantizer that the host applies as a step function, since it rounds to no fixed-point format.

    Args:
        thresholds: rising; a value goes with the last threshold that it reaches.
        values: one more than thresholds, in units of 2^-f of the element.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    thresholds: tuple[float, ...]
    values: tuple[int, ...]


@dataclass(frozen=True)
class Element:
    """One number of a port: a fixed-point format and its place among the port's bits.

    Args:
        k: 1 with a sign, else 0.
        i: integer bits without the sign.
        f: fraction bits.
        width: k + i + f; 0 for a number that is constant 0 or not read.
        offset: index of its lowest bit in the circuit's whole input or output.
        round_mode: rounding mode that the host applies to an input; None for outputs and for steps.
        overflow_mode: overflow mode that the host applies to an input; None for outputs and for steps.
        place: of the number in one sample of the tensor, in C order. Two elements of an input have the same place where
            two layers quantize its number in different ways.
        steps: which of the port's step functions the host applies; None for a fixed-point quantizer, and for outputs.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    k: int
    i: int
    f: int
    width: int
    offset: int
    round_mode: str | None = None
    overflow_mode: str | None = None
    place: int = 0
    steps: int | None = None


@dataclass(frozen=True)
class Port:
    """An input or output of the model, in the circuit.

    Args:
        name: name of the Keras tensor.
        shape: its shape without the batch axis.
        elements: its numbers, by their place in C order.
        dtype: its dtype in Keras.
        steps: the step functions that the host applies to an input.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    shape: tuple[int, ...]
    elements: tuple[Element, ...]
    dtype: str = "float32"
    steps: tuple[Steps, ...] = ()

    @property
    def bits(self) -> int:
        """Total number of bits of all elements."""
        return sum(element.width for element in self.elements)

    @override
    def __str__(self) -> str:
        widths = sorted({element.width for element in self.elements})
        shape = " × ".join(map(str, self.shape))
        each = f"{widths[0]}" if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
        return f"{self.name} [{shape}], {self.bits} bits ({each} each)"


@dataclass(frozen=True)
class LayerWidths:
    """The widths of one layer's outputs, and what the layer costs in the circuit, as far as the exporter knows it.

    Args:
        name: the layer's place in the model.
        outputs: number of its outputs.
        widest: the largest width.
        bits: the widths together.
        cost: its part of the circuit's cost, in the exporter's unit.
        luts: its part of the estimated LUTs.
        latency: from its last input to its last output, in the exporter's unit.
        stages: registers on that way.
    """

    name: str
    outputs: int
    widest: int
    bits: int
    cost: float | None = None
    luts: float | None = None
    latency: float | None = None
    stages: int | None = None

    @override
    def __str__(self) -> str:
        facts = [f"{self.outputs} outputs", f"{self.bits} bits", f"widest {self.widest}"]
        if self.cost is not None:
            facts.append(f"cost {self.cost:,.0f}")
        if self.luts is not None:
            facts.append(f"about {self.luts:,.0f} LUTs")
        if self.latency is not None:
            facts.append(f"latency {self.latency:.3g}")
        if self.stages:
            facts.append(f"{self.stages} stages")
        return f"{self.name}: {', '.join(facts)}"


@dataclass(frozen=True)
class Ports:
    """The ports of an export, as `ports.json` has them.

    Args:
        inputs: in the model's order.
        outputs: in the model's order.
        top: name of the top module, of a circuit.
        cycles: from an input to its output, of a circuit.
        signals: bits of each signal of a circuit.
        states: how many of the last inputs, and of the last outputs, are states: 0 in the first call, and then what the
            call before gave; None without any.
        standardization: how raw inputs become those of the model; None where they are taken as they are.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    top: str | None = None
    cycles: int | None = None
    signals: dict[str, int] | None = None
    states: int | None = None
    standardization: dict[str, Any] | None = None

    @classmethod
    def read(cls, path: str | Path) -> Ports:
        """Read `ports.json`.

        Args:
            path: the file, or the directory of an export.

        Raises:
            ConfigError: there is no such file, or it holds something else.
        """
        file = Path(path)
        file = file / PORTS if file.is_dir() else file
        try:
            text = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: no {PORTS} can be read: {error.strerror}. Allowed: an export.") from error
        with as_config_error(str(file)):
            ports = TypeAdapter(Ports).validate_json(text)
        for number, port in enumerate(ports.inputs):
            for place, element in enumerate(port.elements):
                if problem := _problem(port, element):
                    raise ConfigError(f"{file}: inputs.{number}.elements.{place}: {problem}")
        return ports

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, without what an export does not have."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def _problem(port: Port, element: Element) -> str | None:
    if element.width not in (0, element.k + element.i + element.f) or not 0 <= element.width <= WIDEST:
        return f"width must be k + i + f or 0, at most {WIDEST}. Received: {element.width}."
    if not 0 <= element.place < math.prod(port.shape):
        return f"place must be one of the {math.prod(port.shape)} numbers of the input. Received: {element.place}."
    if element.steps is not None and not 0 <= element.steps < len(port.steps):
        return f"steps must be one of the port's {len(port.steps)} step functions. Received: {element.steps}."
    if element.steps is None and not (element.round_mode and element.overflow_mode):
        return "an input needs round_mode and overflow_mode, or steps."
    steps = () if element.steps is None else port.steps[element.steps : element.steps + 1]
    if any(len(each.values) != len(each.thresholds) + 1 for each in steps):
        return f"steps {element.steps} must have one value more than thresholds."
    return None


def ports_of(
    tensors: Sequence[tuple[str, Sequence[int], str]], formats: Iterable[tuple[int, int, int]]
) -> tuple[Port, ...]:
    """Return the ports of a model's outputs, whose bits lie one after the other.

    Args:
        tensors: name, shape without the batch axis, and dtype of each.
        formats: (k, i, f) of each number, tensors concatenated.
    """
    numbers = iter(formats)
    ports, offset = [], 0
    for name, shape, dtype in tensors:
        elements = []
        for place in range(math.prod(shape)):
            k, i, f = (int(bits) for bits in next(numbers))
            elements.append(Element(k, i, f, k + i + f, offset, place=place))
            offset += k + i + f
        ports.append(Port(name, tuple(shape), tuple(elements), dtype))
    return tuple(ports)
