"""The nodes of a recorded model, each with what it computes in the array interface: for bounds and for numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.exact import Arrays

A = TypeVar("A")
Numbers = npt.NDArray[np.int64]
"""For each element of an operand, the index of its number among all numbers that are recorded."""


class Leaf:
    """A node without operands: an input, or constants."""


class Input(Leaf):
    """The numbers that the host feeds."""


class Constant(Leaf):
    """Numbers that are known, which the code of their readers holds."""


@dataclass(frozen=True, eq=False)
class Node(ABC):
    """A node that computes numbers from others.

    Args:
        operands: the numbers of each operand, in one axis.
    """

    operands: tuple[Numbers, ...]

    @abstractmethod
    def exact(self, arrays: Arrays[A], *operands: A) -> A:
        """Return the numbers of the node, one row per sample.

        Args:
            arrays: integers or intervals.
            operands: one row per sample; a single one where all samples have the same numbers.
        """


@dataclass(frozen=True, eq=False)
class Wires(Node):
    """Numbers of other nodes side by side."""

    @override
    def exact(self, arrays: Arrays[A], *operands: A) -> A:
        return operands[0]


@dataclass(frozen=True, eq=False)
class Elementwise(Node):
    """An operation of as many numbers of each operand.

    Args:
        operation: name of a method of `Arrays`.
    """

    operation: str

    @override
    def exact(self, arrays: Arrays[A], *operands: A) -> A:
        result: A = getattr(arrays, self.operation)(*operands)
        return result


@dataclass(frozen=True, eq=False)
class Quantized(Node):
    """Numbers rounded and brought into a format; see `Arrays.quantize`.

    Args:
        k: signs, one per number.
        i: integer bits.
        f: fraction bits.
        round_mode: the rounding mode.
        overflow_mode: the overflow mode.
    """

    k: Numbers
    i: Numbers
    f: Numbers
    round_mode: str
    overflow_mode: str

    @override
    def exact(self, arrays: Arrays[A], *operands: A) -> A:
        return arrays.quantize(operands[0], self.k, self.i, self.f, self.round_mode, self.overflow_mode)


@dataclass(frozen=True, eq=False)
class Table(Node):
    """The values of a function, looked up.

    Args:
        function: elementwise, on float64.
    """

    function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]

    @override
    def exact(self, arrays: Arrays[A], *operands: A) -> A:
        return arrays.table(operands[0], self.function)


@dataclass(frozen=True, eq=False)
class Product(Node):
    """Products of matrices: `groups` times [rows, terms] @ [terms, columns].

    Args:
        groups: number of independent products.
        rows: rows of each left matrix.
        terms: products in each sum.
        columns: columns of each right matrix.
    """

    groups: int
    rows: int
    terms: int
    columns: int

    EQUATION = "abc,acd->abd"

    @override
    def exact(self, arrays: Arrays[A], *operands: A) -> A:
        left = arrays.reshape(operands[0], (-1, self.groups, self.rows, self.terms))
        right = arrays.reshape(operands[1], (-1, self.groups, self.terms, self.columns))
        return arrays.reshape(
            arrays.einsum("sabc,sacd->sabd", left, right), (-1, self.groups * self.rows * self.columns)
        )
