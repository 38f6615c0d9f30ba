"""The C++ of nodes that hls4ml has no layer for: a function of pointers to its sources and to its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatchmethod

import numpy as np
import numpy.typing as npt

from hgq2_core.exact import IntervalArray, Intervals
from hgq2_core.exact.integers import equal, to_float
from hgq2_core.exporting.errors import Unsupported
from hgq2_core.exporting.formats import formats
from hgq2_hls4ml.backends import Backend, Kif
from hgq2_hls4ml.nodes import Constant, Elementwise, Node, Quantized, Table, Wires
from hgq2_hls4ml.record import Entry
from hgq2_hls4ml.recording import Recording

EXPRESSIONS: Mapping[str, str] = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "negate": "-{0}",
    "less": "{0} < {1} ? 1 : 0",
    "maximum": "{0} < {1} ? {type}({1}) : {type}({0})",
    "minimum": "{0} < {1} ? {type}({0}) : {type}({1})",
    "select": "{0} != 0 ? {type}({1}) : {type}({2})",
}
"""For each elementwise operation its expression, exact since sums and products of these types lose no bit."""

FUNCTION = """// {what}
template <{templates}> void {name}({arguments}) {{
    #pragma HLS INLINE
{body}
}}
"""


STREAMED = """// {what}
template <{templates}> void {name}({arguments}) {{
{reads}
    typename output_t::value_type out[{size}];
{body}
    write_all(out, out_stream);
}}
"""

PACKETS = """\
template <class packet_t, unsigned N>
void read_all(hls::stream<packet_t> &from, typename packet_t::value_type (&to)[N]) {
    for (unsigned first = 0; first < N; first += packet_t::size) {
        packet_t packet = from.read();
        for (unsigned n = 0; n < packet_t::size; n++) to[first + n] = packet[n];
    }
}

template <class packet_t, unsigned N>
void write_all(typename packet_t::value_type (&from)[N], hls::stream<packet_t> &to) {
    for (unsigned first = 0; first < N; first += packet_t::size) {
        packet_t packet;
        for (unsigned n = 0; n < packet_t::size; n++) packet[n] = from[first + n];
        to.write(packet);
    }
}
"""
"""What functions of streams need: a sample is one packet or, of positions that a product takes in turn, several."""


class CodeWriter:
    """Writes functions of nodes.

    Args:
        recording: all nodes.
        backend: for which.
        sizes: how many numbers each layer has; of functions of streams. None for functions of arrays.
    """

    def __init__(self, recording: Recording, backend: Backend, sizes: Mapping[str, int] | None = None) -> None:
        self.recording = recording
        self.record = recording.record
        self.backend = backend
        self.sizes = sizes

    def sources(self, node: Node) -> list[str]:
        """Return the layers whose numbers a node's function takes, in the order of its arguments."""
        numbers = np.unique(np.concatenate(node.operands)).tolist()
        variable = [number for number in numbers if not isinstance(self.record.entry(number).node, Constant)]
        return list(dict.fromkeys(self.recording.source(number)[0] for number in variable))

    def function(self, entry: Entry) -> str:
        """Return the source of a node's function.

        Raises:
            Unsupported: the types cannot say it.
        """
        node = entry.node
        assert isinstance(node, Node)
        body = "\n".join(f"    {line}" for line in self._lines(node, self.backend.fixed(self.type_of(entry.bounds))))
        if self.sizes is not None:
            return self.streamed(entry.name, type(node).__name__, self.sources(node), entry.size, body)
        arguments = {f"in{n}_t": f"in{n}" for n, _ in enumerate(self.sources(node))} | {"output_t": "out"}
        return FUNCTION.format(
            what=type(node).__name__,
            templates=", ".join(f"typename {type_name}" for type_name in arguments),
            name=entry.name,
            arguments=", ".join(self.backend.argument(*each) for each in arguments.items()),
            body=body,
        )

    def streamed(self, name: str, what: str, sources: Sequence[str], size: int, body: str) -> str:
        """Return the source of a function of streams.

        Args:
            name: its name.
            what: a comment.
            sources: the layers that it reads, all of each, as `in0`, `in1` ...
            size: how many numbers it has.
            body: what sets them, in `out`.
        """
        sizes = self.sizes or {}
        types = [*(f"in{n}_t" for n, _ in enumerate(sources)), "output_t"]
        names = [*(f"in{n}" for n, _ in enumerate(sources)), "out"]
        return STREAMED.format(
            what=what,
            templates=", ".join(f"class {each}" for each in types),
            name=name,
            arguments=", ".join(f"hls::stream<{each}> &{of}_stream" for each, of in zip(types, names, strict=True)),
            reads="\n".join(
                f"    typename in{n}_t::value_type in{n}[{sizes[source]}];\n    read_all(in{n}_stream, in{n});"
                for n, source in enumerate(sources)
            ),
            size=size,
            body=body,
        )

    def type_of(self, bounds: IntervalArray) -> Kif:
        """Return the format of a type that holds all numbers within bounds."""
        return self.backend.holding(formats(bounds).joint())

    @singledispatchmethod
    def _lines(self, node: Node, type_name: str) -> Iterator[str]:
        raise Unsupported(f"{type(node).__name__} has no function in C++.")

    @_lines.register
    def _(self, node: Wires, type_name: str) -> Iterator[str]:
        for place, (value,) in enumerate(self._operands(node)):
            yield f"out[{place}] = {value};"

    @_lines.register
    def _(self, node: Elementwise, type_name: str) -> Iterator[str]:
        expression = EXPRESSIONS[node.operation]
        for place, values in enumerate(self._operands(node)):
            yield f"out[{place}] = {expression.format(*values, type=type_name)};"

    @_lines.register
    def _(self, node: Quantized, type_name: str) -> Iterator[str]:
        bits = zip(node.k.tolist(), node.i.tolist(), node.f.tolist(), strict=True)
        for place, ((value,), kif) in enumerate(zip(self._operands(node), bits, strict=True)):
            modes = node.round_mode, node.overflow_mode
            yield f"out[{place}] = {f'{self.backend.fixed(kif, *modes)}({value})' if sum(kif) > 0 else 0};"

    @_lines.register
    def _(self, node: Table, type_name: str) -> Iterator[str]:
        bounds = self.record.bounds(node.operands[0])
        each = formats(bounds)
        kinds = list(zip(each.k.ravel().tolist(), each.i.ravel().tolist(), each.f.ravel().tolist(), strict=True))
        tables: dict[Kif, str] = {}
        for place, ((value,), kif) in enumerate(zip(self._operands(node), kinds, strict=True)):
            if kif not in tables:
                tables[kif] = f"table{len(tables)}"
                of_kind = [n for n, other in enumerate(kinds) if other == kif]
                yield self._table(tables[kif], _entries(node, bounds, of_kind, kif))
            exact = f"{self.backend.fixed(self.backend.holding(kif))}({value})"
            index = self.backend.index(exact, sum(kif)) if sum(kif) else "0"
            yield f"out[{place}] = {tables[kif]}[{index}];"

    def _operands(self, node: Node) -> Iterator[tuple[str, ...]]:
        """Return the expressions of all operands for each number."""
        names = {source: f"in{n}" for n, source in enumerate(self.sources(node))}
        return zip(*([self._expression(n, names) for n in each.tolist()] for each in node.operands), strict=True)

    def _expression(self, number: int, names: Mapping[str, str]) -> str:
        if isinstance(self.record.entry(number).node, Constant):
            return self._literal(number)
        source, place = self.recording.source(number)
        return f"{names[source]}[{place}]"

    def _literal(self, number: int) -> str:
        bounds = self.record.bounds(np.array([number]))
        value = to_float(bounds.lo)
        if not equal(bounds.lo, value).all():
            raise Unsupported("a constant of more than 53 bits, which C++ would round.")
        return f"{self.backend.fixed(self.type_of(bounds))}({float(value[0, 0])!r})"

    def _table(self, name: str, entries: npt.NDArray[np.float64]) -> str:
        kif = self.type_of(Intervals().constant(entries.reshape(1, -1)))
        values = ", ".join(repr(float(entry)) for entry in entries)
        return f"static const {self.backend.fixed(kif)} {name}[{len(entries)}] = {{{values}}};"


def _entries(node: Table, bounds: IntervalArray, places: list[int], kif: Kif) -> npt.NDArray[np.float64]:
    """Return a table over the bits of a format, with 0 where no number of these places reaches."""
    step = np.ldexp(1.0, -kif[2])
    low, high = to_float(bounds.lo)[0, places].min(), to_float(bounds.hi)[0, places].max()
    grid = np.arange(round(low / step), round(high / step) + 1)
    entries = np.zeros(2 ** sum(kif))
    entries[grid % len(entries)] = node.function(grid * step)
    return entries
