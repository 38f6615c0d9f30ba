"""Any einsum of two operands as products of matrices."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from hgq2_hls4ml.nodes import Numbers


@dataclass(frozen=True)
class Arrangement:
    """How the axes of an einsum become those of matrices.

    A letter of both operands and the output counts groups, one of both operands only counts terms, and one of the left
    or the right operand and the output counts rows or columns.

    Args:
        texts: the letters of the left operand, the right one, and the output.
        sizes: the size of each letter.
    """

    texts: tuple[str, str, str]
    sizes: dict[str, int]

    @classmethod
    def of(cls, equation: str, a: tuple[int, ...], b: tuple[int, ...]) -> Arrangement:
        """Return the arrangement of an equation.

        Args:
            equation: two operands and an explicit output; `...` stands for leading axes.
            a: shape of the operand before the comma.
            b: shape of the operand after the comma.

        Raises:
            ValueError: a letter occurs in only one operand and not in the output.
        """
        left, right, output = _without_dots(equation, len(a), len(b))
        sizes: dict[str, int] = {}
        for letter, size in zip(left + right, a + b, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
        if lost := [letter for letter in sizes if letter not in output and not (letter in left and letter in right)]:
            raise ValueError(f"{equation!r}: {lost[0]!r} must be in both operands or in the output.")
        return cls((left, right, output), sizes)

    @property
    def groups(self) -> int:
        """Number of independent products of matrices."""
        return self._size(self._letters(True, True, True))

    @property
    def rows(self) -> int:
        """Rows of each left matrix."""
        return self._size(self._letters(True, False, True))

    @property
    def terms(self) -> int:
        """Products in each sum."""
        return self._size(self._letters(True, True, False))

    @property
    def columns(self) -> int:
        """Columns of each right matrix."""
        return self._size(self._letters(False, True, True))

    def left(self, a: Numbers) -> Numbers:
        """Return the left operand as [groups, rows, terms]."""
        order = self._letters(True, True, True) + self._letters(True, False, True) + self._letters(True, True, False)
        return self._ordered(a, self.texts[0], order).reshape(self.groups, self.rows, self.terms)

    def right(self, b: Numbers) -> Numbers:
        """Return the right operand as [groups, terms, columns]."""
        order = self._letters(True, True, True) + self._letters(True, True, False) + self._letters(False, True, True)
        return self._ordered(b, self.texts[1], order).reshape(self.groups, self.terms, self.columns)

    def result(self, product: Numbers) -> Numbers:
        """Return [groups, rows, columns] in the axes of the output."""
        order = self._letters(True, True, True) + self._letters(True, False, True) + self._letters(False, True, True)
        shaped = product.reshape([self.sizes[letter] for letter in order])
        return shaped.transpose([order.index(letter) for letter in self.texts[2]])

    def _letters(self, left: bool, right: bool, output: bool) -> str:
        """Return the letters of exactly these operands."""
        return "".join(
            letter for letter in self.sizes if tuple(letter in text for text in self.texts) == (left, right, output)
        )

    def _size(self, letters: str) -> int:
        return prod(self.sizes[letter] for letter in letters)

    def _ordered(self, operand: Numbers, text: str, order: str) -> Numbers:
        whole = np.broadcast_to(operand, [self.sizes[letter] for letter in text])
        return whole.transpose([text.index(letter) for letter in order])


def _without_dots(equation: str, *ranks: int) -> tuple[str, str, str]:
    inputs, output = equation.replace(" ", "").split("->")
    spare = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation]
    left, right = inputs.split(",")
    hidden = [rank - len(text) + 3 if "..." in text else 0 for text, rank in zip((left, right), ranks, strict=True)]

    def written(text: str, axes: int) -> str:
        # From the right, since leading axes may be missing.
        return text.replace("...", "".join(spare[:axes][::-1]))

    return written(left, hidden[0]), written(right, hidden[1]), written(output, max(hidden))
