"""Sums of products: any einsum of two operands as products of rows and matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Objects = npt.NDArray[Any]
RowProduct = Callable[[Objects, Objects], Objects]


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
    left, right, output = written_out(equation, a.ndim, b.ndim)
    shared = [letter for letter in left if letter in right and letter in output]
    summed = [letter for letter in left if letter in right and letter not in output]
    rows, columns = ([letter for letter in text if letter in output and letter not in shared] for text in (left, right))
    if len(shared + summed + rows) != len(left) or len(shared + summed + columns) != len(right):
        raise ValueError(f"A letter of one operand must be in the other or in the output. Received: {equation!r}")
    sizes: dict[str, int] = {}
    for letter, size in zip(left + right, a.shape + b.shape, strict=True):
        sizes[letter] = max(size, sizes.get(letter, 1))

    def arranged(operand: Objects, text: str, *groups: list[str]) -> Objects:
        whole = np.broadcast_to(operand, [sizes[letter] for letter in text])
        moved = whole.transpose([text.index(letter) for group in groups for letter in group])
        return moved.reshape([int(np.prod([sizes[letter] for letter in group])) for group in groups])

    x, y = arranged(a, left, shared, rows, summed), arranged(b, right, shared, summed, columns)
    result = np.empty((*x.shape[:2], y.shape[2]), dtype=object)
    for place in np.ndindex(x.shape[:2]):
        result[place] = product(x[place], y[place[0]])
    order = shared + rows + columns
    shaped = result.reshape([sizes[letter] for letter in order])
    return shaped.transpose([order.index(letter) for letter in output])


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
