"""All numbers of a recorded model, and which node computes each."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from hgq2_core.exact import Arrays, Integers, IntervalArray, Intervals
from hgq2_core.exact.integer_array import IntegerArray
from hgq2_core.exporting.formats import formats
from hgq2_hls4ml.nodes import Constant, Leaf, Node, Numbers, Table

A = TypeVar("A")

LUT_INPUTS = 6


@dataclass(frozen=True, eq=False)
class Entry:
    """A node in its place.

    Args:
        name: a name of its own, made of lowercase letters, digits and underscores.
        layer: the place of the layer that computes it.
        node: what computes the numbers.
        first: index of its first number.
        bounds: of its numbers, in one row.
    """

    name: str
    layer: str
    node: Node | Leaf
    first: int
    bounds: IntervalArray

    @property
    def size(self) -> int:
        """How many numbers it computes."""
        return self.bounds.step.size

    @property
    def numbers(self) -> Numbers:
        """Its own numbers."""
        return np.arange(self.first, self.first + self.size, dtype=np.int64)


@dataclass
class Record:
    """The nodes of a model in the order of computation; every number has an index."""

    entries: list[Entry] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.entries[-1].first + self.entries[-1].size if self.entries else 0

    def add(self, layer: str, node: Node | Leaf, bounds: IntervalArray) -> Numbers:
        """Append a node of a layer, and return its numbers."""
        name = f"{identifier(layer)}_{len(self.entries)}"
        self.firsts.append(len(self))
        self.entries.append(Entry(name, layer, node, len(self), bounds))
        return self.entries[-1].numbers

    def cut(self, entries: int) -> None:
        """Forget all nodes after the first ones."""
        del self.entries[entries:], self.firsts[entries:]

    def places(self, numbers: Numbers) -> Numbers:
        """Return, for each number, the index of its node."""
        return np.searchsorted(self.firsts, numbers, side="right") - 1

    def entry(self, number: int) -> Entry:
        """Return the node that computes a number."""
        return self.entries[bisect.bisect_right(self.firsts, number) - 1]

    def sources(self, *operands: Numbers) -> list[Entry]:
        """Return the nodes that compute any of these numbers, in order."""
        used = np.unique(np.concatenate([self.places(operand.ravel()) for operand in operands]))
        return [self.entries[place] for place in used]

    def constant(self, numbers: Numbers) -> bool:
        """Return whether all numbers are constants."""
        return all(isinstance(entry.node, Constant) for entry in self.sources(numbers))

    def bounds(self, numbers: Numbers) -> IntervalArray:
        """Return the bounds of numbers, in one row."""
        return self.gather(Intervals(), numbers, lambda entry: entry.bounds)

    def values(self, constants: Numbers) -> IntegerArray:
        """Return the values of constants, in one row."""
        return self.bounds(constants).lo

    def cost(self, first: int) -> float:
        """Return about how many LUTs the nodes from an index on take, to compare statements of one function."""
        total = 0.0
        for entry in self.entries[first:]:
            bits = formats(entry.bounds).width
            if isinstance(entry.node, Table):
                inputs = formats(self.bounds(entry.node.operands[0])).width
                bits = bits * np.maximum(1.0, np.ldexp(1.0, inputs - LUT_INPUTS))
            total += 0.0 if isinstance(entry.node, Leaf) else float(bits.sum())
        return total

    def gather(self, arrays: Arrays[A], numbers: Numbers, of: Callable[[Entry], A]) -> A:
        """Return what is known of numbers, one row per sample.

        Args:
            arrays: integers or intervals.
            numbers: which, in one axis.
            of: returns the same of all numbers of a node; one row stands for every sample.
        """
        sources = self.sources(numbers)
        parts = [of(entry) for entry in sources]
        rows = max(arrays.shape(part)[0] for part in parts)
        whole = [arrays.broadcast(part, (rows, *arrays.shape(part)[1:])) for part in parts]
        starts = np.cumsum([0, *(entry.size for entry in sources)])
        firsts = np.array([entry.first for entry in sources])
        place = np.searchsorted(firsts, numbers, side="right") - 1
        return arrays.gather(arrays.concatenate(whole, 1), numbers - firsts[place] + starts[place], 1)

    def needed(self, outputs: Numbers) -> list[Entry]:
        """Return the nodes that outputs depend on, in order."""
        open_ = {int(place) for place in np.unique(self.places(outputs))}
        needed: set[int] = set()
        while open_:
            place = open_.pop()
            needed.add(place)
            node = self.entries[place].node
            if isinstance(node, Node):
                open_ |= {int(each) for each in np.unique(self.places(np.concatenate(node.operands)))} - needed
        return [self.entries[place] for place in sorted(needed)]

    def interpret(self, outputs: Numbers, given: Callable[[Entry], IntegerArray]) -> IntegerArray:
        """Return the values of numbers by integers, one row per sample.

        Args:
            outputs: which.
            given: returns the values of an input, one row per sample.
        """
        integers = Integers()
        values = dict(self._values(outputs, given))
        return self.gather(integers, outputs, lambda entry: values[entry.first])

    def _values(self, outputs: Numbers, given: Callable[[Entry], IntegerArray]) -> Iterator[tuple[int, IntegerArray]]:
        integers = Integers()
        values: dict[int, IntegerArray] = {}
        for entry in self.needed(outputs):
            if isinstance(entry.node, Node):
                operands = [self.gather(integers, each, lambda e: values[e.first]) for each in entry.node.operands]
                values[entry.first] = entry.node.exact(integers, *operands)
            else:
                known = isinstance(entry.node, Constant)
                values[entry.first] = entry.bounds.lo if known else given(entry)
            yield entry.first, values[entry.first]


def identifier(name: str) -> str:
    """Return a name in lowercase letters, digits and underscores, as C++ takes it."""
    return "n" + found if (found := re.sub("[^a-z0-9]+", "_", name.lower()).strip("_"))[:1].isdigit() else found or "n"
