"""Any einsum of two operands as products of rows and matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Objects = npt.NDArray[Any]
RowProduct = Callable[[Objects, Objects], Objects]


class Contraction:
    """An einsum of two operands, arranged as matrix products: `(shared, rows, summed) @ (shared, summed, columns)`.

    Args:
        equation: an equation of two operands, with an explicit output.
        left: shape of the operand before the comma.
        right: shape of the operand after the comma.

    Raises:
        ValueError: a letter occurs in only one operand and not in the output.
    """

    def __init__(self, equation: str, left: Sequence[int], right: Sequence[int]) -> None:
        self._left, self._right, self._output = written_out(equation, len(left), len(right))
        first, second, output = self._left, self._right, self._output
        shared = [letter for letter in first if letter in second and letter in output]
        summed = [letter for letter in first if letter in second and letter not in output]
        rows, columns = (
            [letter for letter in text if letter in output and letter not in shared] for text in (first, second)
        )
        if len(shared + summed + rows) != len(first) or len(shared + summed + columns) != len(second):
            raise ValueError(f"A letter of one operand must be in the other or in the output. Received: {equation!r}")
        self._shared, self._summed, self._rows, self._columns = shared, summed, rows, columns
        self._sizes: dict[str, int] = {}
        for letter, size in zip(first + second, (*left, *right), strict=True):
            self._sizes[letter] = max(size, self._sizes.get(letter, 1))

    def left(self, operand: Objects) -> Objects:
        """Return the operand before the comma as (shared, rows, summed)."""
        return self._arranged(operand, self._left, self._shared, self._rows, self._summed)

    def right(self, operand: Objects) -> Objects:
        """Return the operand after the comma as (shared, summed, columns)."""
        return self._arranged(operand, self._right, self._shared, self._summed, self._columns)

    def output(self, result: Objects) -> Objects:
        """Return a result, (shared, rows, columns), with the axes of the equation's output."""
        order = self._shared + self._rows + self._columns
        shaped = result.reshape([self._sizes[letter] for letter in order])
        return shaped.transpose([order.index(letter) for letter in self._output])

    def _arranged(self, operand: Objects, text: str, *groups: list[str]) -> Objects:
        whole = np.broadcast_to(operand, [self._sizes[letter] for letter in text])
        moved = whole.transpose([text.index(letter) for group in groups for letter in group])
        return moved.reshape([int(np.prod([self._sizes[letter] for letter in group])) for group in groups])


def einsum(equation: str, a: Objects, b: Objects, product: RowProduct) -> Objects:
    """Return the contraction of two operands.

    Args:
        equation: an equation of two operands, with an explicit output.
        a: the operand before the comma.
        b: the operand after the comma.
        product: returns `row @ matrix`, one number per column.

    Returns:
        An array of objects.

    Raises:
        ValueError: a letter occurs in only one operand and not in the output.
    """
    contraction = Contraction(equation, a.shape, b.shape)
    x, y = contraction.left(a), contraction.right(b)
    result = np.empty((*x.shape[:2], y.shape[2]), dtype=object)
    for place in np.ndindex(x.shape[:2]):
        result[place] = product(x[place], y[place[0]])
    return contraction.output(result)


def written_out(equation: str, *ranks: int) -> tuple[str, str, str]:
    """Return the parts of an equation, with letters in place of `...`.

    Args:
        equation: an equation of two operands.
        ranks: the ranks of both operands.
    """
    inputs, output = equation.replace(" ", "").split("->")
    spare = "".join(letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation)
    parts = []
    most = 0
    for text, rank in zip(inputs.split(","), ranks, strict=True):
        axes = rank - len(text) + 3 if "..." in text else 0
        most = max(most, axes)
        parts.append(text.replace("...", spare[:axes][::-1]))
    left, right = parts
    return left, right, output.replace("...", spare[:most][::-1])
