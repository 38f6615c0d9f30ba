"""The inputs of an export: each number enters in the format of the first quantizer that is applied to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ldexp
from typing import Annotated, Any, Literal, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.errors import ExactnessError
from hgq2_core.exporting.errors import Unquantized, Unsupported
from hgq2_core.exporting.ports import WIDEST, Element, Port, Steps
from hgq2_core.exporting.steps import StepFunction, step_functions
from hgq2_core.schema.base import FromList

Objects = npt.NDArray[Any]

InputFormat = Annotated[tuple[Literal[0, 1], int, int], FromList]
"""An exporter's option: (k, i, f) of every input, where the host does not quantize."""


class Format(NamedTuple):
    """A fixed-point format, with rounding and overflow modes."""

    k: int
    i: int
    f: int
    round_mode: str
    overflow_mode: str

    @override
    def __str__(self) -> str:
        return f"k={self.k} i={self.i} f={self.f} {self.round_mode} {self.overflow_mode}"

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value; both 0 for a format without bits."""
        if self.k + self.i + self.f <= 0:
            return 0.0, 0.0
        most = ldexp(1.0, self.i) - ldexp(1.0, -self.f)
        return -self.k * (most if self.overflow_mode == "SAT_SYM" else ldexp(1.0, self.i)), most


UNUSED = Format(0, 0, 0, "TRN", "WRAP")
"""The format of an input that is not used, without bits."""


@dataclass(frozen=True, slots=True)
class RawNumber:
    """One number of a model's input, before a quantizer has given it a format.

    Args:
        name: of the model's input.
        number: the input's number in the model.
        place: of the number in one sample of the input, in C order.
    """

    name: str
    number: int
    place: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A number that the host gives: one number of an input, as one quantizer makes it.

    Args:
        raw: the number before the quantizer.
        format: of a fixed-point quantizer, which rounds to it, or of any other, by its steps.
    """

    raw: RawNumber
    format: Format | StepFunction

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value that its bits hold; both 0 without bits."""
        return Format(*self.format[:3], "TRN", "SAT").bounds


class HostInputs:
    """The numbers of a model's inputs while its graph is traced, and the formats in which they enter.

    An exporter starts with `raw()`, arrays of objects with a batch of 1, which it moves as any other (reshape, gather,
    pad with 0.0). Where an exact statement quantizes such a number first, `enter` records the format, and the exporter
    goes on with the number that the host will give. Where a quantizer (`Arrays.quantizer`) does anything else with it,
    `enter_steps` records what it does. `entries` are the numbers that the host gives, in the order of the ports.

    Args:
        tensors: the model's inputs.

    Raises:
        ExactnessError: an axis besides the batch's has no static size.
    """

    def __init__(self, tensors: Sequence[Any]) -> None:
        self.tensors = list(tensors)
        self.states = 0
        self._entries: dict[RawNumber, list[Entry]] = {}
        self._raw = [_numbers(tensor, number) for number, tensor in enumerate(self.tensors)]

    def raw(self) -> list[Objects]:
        """Return the numbers of each input, an array of `RawNumber` with a batch of 1."""
        return list(self._raw)

    def add_state(self, shape: Sequence[int]) -> Objects:
        """Add a state that a layer keeps from call to call, as the input `state_n_in` behind all others.

        Args:
            shape: without the batch axis.

        Returns:
            Its numbers, as `raw` gives them.

        Raises:
            ExactnessError: an input of the model has that name.
        """
        name = f"state_{self.states}_in"
        if name in [tensor.name for tensor in self.tensors]:
            raise ExactnessError(f"input {name!r}: a state of the export has this name. Give the input another one.")
        self.tensors.append(keras.KerasTensor((None, *shape), keras.config.floatx(), name=name))
        self.states += 1
        self._raw.append(_numbers(self.tensors[-1], len(self._raw)))
        return self._raw[-1]

    def state_outputs(self) -> list[tuple[str, Sequence[int], str]]:
        """Return name, shape and dtype of the states after the call, for `ports_of`."""
        added = self.tensors[len(self.tensors) - self.states :]
        return [(f"state_{number}_out", tensor.shape[1:], tensor.dtype) for number, tensor in enumerate(added)]

    def enter(self, raw: RawNumber, wanted: Format | StepFunction) -> Entry:
        """Return the number that the host gives where a quantizer comes first.

        Args:
            raw: the number before it.
            wanted: what the quantizer makes of it.

        Raises:
            Unsupported: the format is wider than a host's integers.
        """
        if sum(wanted[:3]) > WIDEST:
            raise Unsupported(
                f"its quantizer of input {raw.name!r} needs {sum(wanted[:3])} bits, and a port's number has at most "
                f"{WIDEST}. Give it fewer bits, or say input_format=(k, i, f)."
            )
        entry = Entry(raw, wanted)
        known = self._entries.setdefault(raw, [])
        if entry not in known:
            known.append(entry)
        return entry

    def enter_unquantized(self, raw: RawNumber) -> Entry:
        """Return the number that the host gives where something else than a quantizer comes first.

        Args:
            raw: of an integer input of at most 16 bits, whose dtype is a format.

        Raises:
            Unquantized: the input is of another dtype.
        """
        wanted = _integer_format(self.tensors[raw.number].dtype)
        if wanted is None:
            raise Unquantized(
                f"it computes with input {raw.name!r} before any quantizer has given that a format. Let a layer in "
                "front quantize it, or say input_format=(k, i, f)."
            )
        return self.enter(raw, wanted)

    def enter_steps(self, a: Objects, statement: Callable[[Any, Any], Any]) -> Objects:
        """Return the numbers that the host gives where a quantizer that rounds to no fixed-point format comes first.

        Args:
            a: of an operand, `RawNumber` or constants.
            statement: the quantizer's, of arrays and an operand.

        Returns:
            An array of `Entry`, and of floats where the host gives none.

        Raises:
            Unsupported: a host cannot apply it.
        """
        raw = [x for x in a.ravel() if isinstance(x, RawNumber)]
        dtypes = {self.tensors[x.number].dtype for x in raw}
        name = raw[0].name
        functions = step_functions(statement, a.shape[1:], "float64" if "float64" in dtypes else "float32", name)
        entered = [
            self.enter(x, function) if isinstance(x, RawNumber) else _value(function, float(x))
            for x, function in zip(a.ravel(), functions, strict=True)
        ]
        return objects(entered, a.shape)

    def start(self, number: int, input_format: tuple[int, int, int] | None) -> Format | None:
        """Return the format in which all of an input enters, whatever comes first; None where the quantizers tell.

        Args:
            number: of the input.
            input_format: (k, i, f) of all inputs, if the host is not to quantize.
        """
        if self.tensors[number].dtype == "bool":  # a mask is one bit
            return Format(0, 1, 0, "RND", "SAT")
        return None if input_format is None else Format(*input_format, "RND", "SAT")

    def entries_of(self, raw: RawNumber) -> list[Entry]:
        """Return what the host gives for a number, without bits where nothing reads it; once the graph is traced."""
        return self._entries.get(raw, [Entry(raw, UNUSED)])

    def entries(self) -> list[Entry]:
        """Return the numbers that the host gives, in C order of the inputs; once the graph is traced."""
        return [entry for each in self._raw for raw in each.ravel() for entry in self.entries_of(raw)]

    def ports(self, formats: Iterable[tuple[int, int, int]] | None = None) -> tuple[Port, ...]:
        """Return the input ports, once the graph is traced.

        Args:
            formats: (k, i, f) of each of `entries`, where an export takes fewer bits of them: none of those that it
                does not read. None for all.
        """
        given = iter([entry.format[:3] for entry in self.entries()] if formats is None else formats)
        ports, offset = [], 0
        for tensor, each in zip(self.tensors, self._raw, strict=True):
            elements: list[Element] = []
            steps: dict[Steps, int] = {}
            for entry in [entry for raw in each.ravel() for entry in self.entries_of(raw)]:
                k, i, f = (int(bits) for bits in next(given))
                width = max(k + i + f, 0)
                elements.append(Element(k, i, f, width, offset, *_modes(entry), entry.raw.place, _steps(entry, steps)))
                offset += width
            ports.append(Port(tensor.name, tuple(tensor.shape[1:]), tuple(elements), tensor.dtype, tuple(steps)))
        return tuple(ports)


def objects(values: Iterable[Any], shape: Sequence[int]) -> Objects:
    """Return objects, tuples among them, as an array.

    Args:
        values: in C order.
        shape: of the array.
    """
    result = np.empty(int(np.prod(shape)), dtype=object)
    for place, value in enumerate(values):
        result[place] = value
    return result.reshape(tuple(shape))


def _modes(entry: Entry) -> tuple[str | None, str | None]:
    return (entry.format.round_mode, entry.format.overflow_mode) if isinstance(entry.format, Format) else (None, None)


def _steps(entry: Entry, known: dict[Steps, int]) -> int | None:
    if isinstance(entry.format, Format):
        return None
    return known.setdefault(Steps(entry.format.thresholds, entry.format.values), len(known))


def _value(function: StepFunction, x: float) -> float:
    return ldexp(function.values[int(np.searchsorted(function.thresholds, x, "right"))], -function.f)


def _numbers(tensor: Any, number: int) -> Objects:
    shape = tuple(tensor.shape[1:])
    if None in shape:
        raise ExactnessError(
            f"input {tensor.name!r}: a circuit needs a static size of every axis but the batch's. "
            f"Received: shape {shape}."
        )
    size = int(np.prod(shape))
    return objects((RawNumber(tensor.name, number, place) for place in range(size)), (1, *shape))


def _integer_format(dtype: str) -> Format | None:
    if dtype not in ("uint8", "int8", "uint16", "int16"):  # all bits of a wider dtype are hardly intended
        return None
    signed = not dtype.startswith("u")
    return Format(int(signed), np.iinfo(dtype).bits - signed, 0, "RND", "SAT")
