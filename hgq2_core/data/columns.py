"""Columns of a table as numbers, with categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hgq2_core.errors import DataError, listing, nearest

Encoding = Literal["one_hot", "index"]


@dataclass(frozen=True)
class MissingValues:
    """What stands for a missing value, besides an empty cell and NaN.

    Args:
        values: texts, in any case, and numbers.
    """

    values: tuple[str | float, ...] = ("?", "NA", "N/A", "NaN", "null", "none")

    def __contains__(self, cell: Any) -> bool:
        if cell is None or cell != cell:
            return True
        if not isinstance(cell, str):
            return isinstance(cell, int | float | np.number) and float(cell) in self._numbers
        text = cell.strip().lower()
        return not text or text in self._texts or (bool(self._numbers) and _float(text) in self._numbers)

    def as_nan(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return numbers with NaN in place of those that stand for a missing value."""
        return np.where(np.isin(numbers, list(self._numbers)), np.nan, numbers) if self._numbers else numbers

    @cached_property
    def _texts(self) -> frozenset[str]:
        return frozenset(each.lower() for each in self.values if isinstance(each, str))

    @cached_property
    def _numbers(self) -> frozenset[float]:
        return frozenset(float(each) for each in self.values if not isinstance(each, str))


USUAL = MissingValues()


@dataclass(frozen=True)
class Category:
    """A column of texts.

    Args:
        values: the texts it may hold.
        encoding: `one_hot`: an element for each text, which is 1 or 0; `index`: the place of the text among them.
        filled: the text that a missing cell gets; None if none may be missing.
        missing_values: what stands for a missing cell.
    """

    values: tuple[str, ...]
    encoding: Encoding
    filled: str | None = None
    missing_values: MissingValues = USUAL

    def text(self, cell: Any) -> str:
        """Return the text of a cell, which need not be among the values."""
        text = str(cell).strip()
        return self.filled if self.filled is not None and cell in self.missing_values else text


@dataclass(frozen=True)
class Columns:
    """Columns of a table, as an array.

    Args:
        names: the columns, in order.
        categories: those that hold texts.
        missing: whether a cell may be missing, to be filled by the next step.
        missing_values: what stands for a missing cell.
    """

    names: tuple[str, ...]
    categories: Mapping[str, Category]
    missing: bool = False
    missing_values: MissingValues = USUAL

    @property
    def elements(self) -> tuple[str, ...]:
        """The names of the elements of a sample: `column=text` for one of a one-hot column."""
        return tuple(element for name in self.names for element in self._elements(name))

    @property
    def numeric(self) -> NDArray[np.bool_]:
        """Whether each element is a number, rather than a category."""
        return np.array([name not in self.categories for name in self.names for _ in self._elements(name)])

    def __call__(self, table: Any) -> NDArray[np.float64]:
        """Return the elements, NaN where a cell is missing.

        Args:
            table: a mapping of columns, each a sequence of numbers or texts.

        Raises:
            DataError: a column is missing or shorter than others, a cell is no finite number, or a text is not among
                the values.
        """
        if not isinstance(table, Mapping):
            raise DataError(f"columns: takes a mapping of columns. Received: {type(table).__name__}.")
        for name in self.names:
            if name not in table:
                raise DataError(
                    f"no such column. Received: {name!r}. There are: {listing(table)}.{nearest(name, table)}"
                )
        encoded = [self._encoded(name, table[name]) for name in self.names]
        lengths = {len(each) for each in encoded}
        if len(lengths) > 1:
            raise DataError(f"columns: have one number of samples. Received: {', '.join(map(str, sorted(lengths)))}.")
        return np.concatenate(encoded, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        categories = {
            name: {"values": list(each.values), "encoding": each.encoding, "filled": each.filled}
            for name, each in self.categories.items()
        }
        return {
            "names": list(self.names),
            "categories": categories,
            "missing": self.missing,
            "missing_values": list(self.missing_values.values),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Columns:
        """Return the step that plain data describe."""
        missing_values = MissingValues(tuple(document["missing_values"])) if "missing_values" in document else USUAL
        categories = {
            str(name): Category(tuple(each["values"]), each["encoding"], each.get("filled"), missing_values)
            for name, each in document["categories"].items()
        }
        return cls(tuple(document["names"]), categories, bool(document["missing"]), missing_values)

    def _elements(self, name: str) -> tuple[str, ...]:
        category = self.categories.get(name)
        if category is None or category.encoding == "index":
            return (name,)
        return tuple(f"{name}={value}" for value in category.values)

    def _encoded(self, name: str, cells: Sequence[Any]) -> NDArray[np.float64]:
        if name not in self.categories:
            return self._numbers(name, cells).reshape(-1, 1)
        category = self.categories[name]
        places = {value: place for place, value in enumerate(category.values)}
        found = np.empty(len(cells), dtype=np.intp)
        for row, cell in enumerate(_plain(cells)):
            text = category.text(cell)
            if text not in places:
                raise DataError(
                    f"column {name!r}: no such category. Received: {text!r}. "
                    f"Allowed: {listing(category.values)}.{nearest(text, category.values)}"
                )
            found[row] = places[text]
        if category.encoding == "index":
            return found.astype(np.float64).reshape(-1, 1)
        return np.eye(len(category.values))[found]

    def _numbers(self, name: str, cells: Sequence[Any]) -> NDArray[np.float64]:
        try:
            numbers = np.asarray(cells).astype(np.float64)
        except (TypeError, ValueError):
            numbers = np.array([self._number(name, cell) for cell in _plain(cells)], dtype=np.float64)
        numbers = self.missing_values.as_nan(numbers)
        infinite = np.flatnonzero(np.isinf(numbers))
        if len(infinite):
            raise DataError(
                f"column {name!r}: must be a finite number. Received: {numbers[infinite[0]]:g} in sample {infinite[0]}."
            )
        unknown = np.flatnonzero(np.isnan(numbers))
        if len(unknown) and not self.missing:
            raise DataError(f"column {name!r}: a cell is missing, in sample {unknown[0]}. Leave the sample out.")
        return numbers

    def _number(self, name: str, cell: Any) -> float:
        if cell in self.missing_values:
            return float("nan")
        try:
            return float(cell)
        except (TypeError, ValueError):
            raise DataError(f"column {name!r}: must be a number. Received: {cell!r}.") from None


def _plain(cells: Any) -> Any:
    return cells.tolist() if isinstance(cells, np.ndarray) else cells


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
