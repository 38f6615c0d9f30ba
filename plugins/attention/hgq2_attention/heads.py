"""The heads of queries and of keys, and the two products in which they meet."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Heads:
    """How many heads there are.

    Args:
        queries: heads of queries.
        keys: heads of keys and values; each serves as many heads of queries, which follow each other.
    """

    queries: int
    keys: int

    @property
    def grouped(self) -> bool:
        """Whether a head of keys serves several heads of queries."""
        return self.queries != self.keys

    def split(self, shape: Sequence[Any], axis: int) -> tuple[Any, ...]:
        """Return the shape in which, if they are grouped, heads of queries have two axes: the group, and those in it.

        Args:
            shape: of queries or scores.
            axis: of the heads, counted from the end.
        """
        sizes = (self.keys, self.queries // self.keys) if self.grouped else (self.queries,)
        place = len(shape) + axis
        return (*shape[:place], *sizes, *shape[place + 1 :])

    def joined(self, shape: Sequence[Any], axis: int) -> tuple[Any, ...]:
        """Undo `split`."""
        place = len(shape) + axis
        return (*shape[: place - self.grouped], self.queries, *shape[place + 1 :])


class Equations(NamedTuple):
    """The two products of attention, batch axis first, and the letters of their operands."""

    query: str
    key: str
    scores: str

    @classmethod
    def of(cls, rank: int, axes: Sequence[int], grouped: bool) -> Equations:
        """Return the equations of a layer.

        Args:
            rank: of the inputs, batch included.
            axes: along which positions attend.
            grouped: whether heads of queries have two axes.
        """
        letters = string.ascii_lowercase[: rank - 1]
        keys = "".join(letter.upper() if n in axes else letter for n, letter in enumerate(letters))
        rest = "".join(letter for n, letter in enumerate(letters) if n not in axes)
        queries = "".join(letters[n] for n in axes)
        heads = "yx" if grouped else "y"
        return cls(f"{letters}{heads}z", f"{keys}yz", f"{rest}{heads}{queries}{queries.upper()}")

    @property
    def product(self) -> str:
        """Scores of queries and keys."""
        return f"{self.query},{self.key}->{self.scores}"

    @property
    def combination(self) -> str:
        """Values weighted by scores; in this order, the scores need not be transposed."""
        return f"{self.key},{self.scores}->{self.query}"

    def cost(self) -> tuple[str, str]:
        """Return both as sums over one sample."""
        return f"{self.query[1:]},{self.key[1:]}->", f"{self.key[1:]},{self.scores[1:]}->"
