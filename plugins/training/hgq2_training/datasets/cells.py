"""The cells of a table as numbers, labels and categories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hgq2_core.data.columns import USUAL, Category, Columns, Encoding, MissingValues
from hgq2_core.errors import DataError, nearest
from hgq2_training.datasets.labels import Classes, class_names, line_to_paste
from hgq2_training.datasets.missing import REMEDY, Missing
from hgq2_training.datasets.splitting import Array
from hgq2_training.datasets.text_table import LARGEST, Table, number

MOST_CATEGORIES = 1000
"""Maximal number of texts in a column of categories."""


@dataclass(frozen=True)
class Cells:
    """Columns of a table, without the lines that are left out.

    Args:
        path: the file.
        columns: the cells by column: texts, or numbers in a file that has them.
        places: the place of each line in the file, for messages.
        missing: treatment of missing cells.
        dropped: number of lines left out.
        missing_values: what stands for a missing cell.
    """

    path: str
    columns: Mapping[str, Sequence[Any]]
    places: Sequence[str]
    missing: Missing
    dropped: int = 0
    missing_values: MissingValues = USUAL

    def targets(self, name: str, classes: Classes | None) -> Array:
        """Return a column of targets.

        Args:
            name: the column.
            classes: see `Csv`.
        """
        names = class_names(classes)
        if names:
            return np.array([self._class(cell, row, name, names) for row, cell in enumerate(self.columns[name])])
        most = classes if isinstance(classes, int) else None
        return self._numbers(name, lambda cell, row: self._target(cell, row, name, most), most)

    def numbers(self, name: str) -> Array:
        """Return a column of inputs, NaN where a cell is missing."""
        return self._numbers(name, lambda cell, row: self._input(cell, row, name))

    def check_logarithm(self, name: str) -> None:
        """Refuse a column of inputs with a number that has no logarithm.

        Raises:
            DataError: a number is 0 or less; the message says in which line.
        """
        values = self.numbers(name)
        bad = np.flatnonzero(values <= 0)
        if len(bad):
            row = int(bad[0])
            raise DataError(
                f"{self._where(row, name)}: `log` takes numbers above 0. Received: {values[row]:g}. "
                "`clip` gives a lower limit."
            )

    def weights(self, name: str) -> Array:
        """Return a column of sample weights.

        Raises:
            DataError: a weight is negative or missing, or all are 0.
        """
        found = self._numbers(name, lambda cell, row: number(cell, self._where(row, name)))
        negative = np.flatnonzero(found < 0)
        if len(negative):
            row = int(negative[0])
            raise DataError(f"{self._where(row, name)}: a weight is at least 0. Received: {found[row]:g}.")
        if not found.any():
            raise DataError(f"{self.path}: column {name!r}: all weights are 0.")
        return found.astype(np.float32)

    def category(self, name: str, encoding: Encoding) -> Category:
        """Return the texts of a column, in the order of the alphabet.

        Raises:
            DataError: a cell is missing and is not filled, or there are too many different texts.
        """
        texts: Counter[str] = Counter()
        for row, cell in enumerate(self.columns[name]):
            if cell not in self.missing_values:
                texts[str(cell).strip()] += 1
            elif self.missing != "mean":
                raise DataError(f"{self._where(row, name)}: a category is missing. {_received(cell)}. {_remedy(cell)}")
        if not texts:
            raise DataError(f"{self.path}: column {name!r} has no value. Name it in `ignore`.")
        if len(texts) > MOST_CATEGORIES:
            raise DataError(
                f"{self.path}: column {name!r} has {len(texts)} different texts. Allowed: {MOST_CATEGORIES} categories."
            )
        most_frequent = max(sorted(texts), key=texts.__getitem__)
        filled = most_frequent if self.missing == "mean" else None
        return Category(tuple(sorted(texts)), encoding, filled, self.missing_values)

    def inputs(self, layout: Columns) -> Array:
        """Return the inputs, shape `(samples, elements)`, NaN where a cell is missing."""
        return layout(self.columns_of(layout))

    def columns_of(self, layout: Columns) -> dict[str, Any]:
        """Return the columns of inputs, checked: numbers, and texts of categories."""
        return {
            name: self._categories(name, layout.categories[name]) if name in layout.categories else self.numbers(name)
            for name in layout.names
        }

    def notes(self, filled: int, categories: Mapping[str, Category]) -> tuple[str, ...]:
        """Return what was left out or filled, a sentence each.

        Args:
            filled: number of cells with numbers that are filled.
            categories: the columns that hold texts.
        """
        notes = []
        if self.dropped:
            total = self.dropped + len(self.places)
            notes.append(f"{self.path}: lines left out for a missing cell: {self.dropped} of {total}.")
        if filled:
            notes.append(f"{self.path}: missing cells filled with the mean of the training part: {filled}.")
        for name, category in categories.items():
            if category.filled is not None and (count := self._missing(name)):
                notes.append(f"{self.path}: missing cells of {name!r} filled with {category.filled!r}: {count}.")
        return tuple(notes)

    def _missing(self, name: str) -> int:
        return sum(cell in self.missing_values for cell in self.columns[name])

    def _numbers(self, name: str, one: Callable[[Any, int], float], classes: int | None = None) -> Array:
        column = self.columns[name]
        try:
            values = self.missing_values.as_nan(np.asarray(column).astype(np.float64))
        except (ValueError, TypeError):
            values = np.array([math.nan])
        if _usable(values, classes):
            return values
        return np.array([one(cell, row) for row, cell in enumerate(column)], dtype=np.float64)

    def _where(self, row: int, name: str) -> str:
        return f"{self.path}: {self.places[row]}, column {name!r}"

    def _input(self, cell: Any, row: int, name: str) -> float:
        where = self._where(row, name)
        if cell not in self.missing_values:
            return number(cell, where)
        if self.missing == "error":
            raise DataError(f"{where}: must be a number. {_received(cell)}. {REMEDY}")
        return math.nan

    def _class(self, cell: Any, row: int, name: str, names: tuple[str, ...]) -> int:
        text = str(cell)
        if text in names:
            return names.index(text)
        where = self._where(row, name)
        if cell in self.missing_values and not (text and self.missing == "error"):
            raise self._missing_target(cell, where)
        allowed = ", ".join(names)
        raise DataError(f"{where}: no such class. Received: {text!r}. Allowed: {allowed}.{nearest(text, names)}")

    def _target(self, cell: Any, row: int, name: str, classes: int | None) -> float:
        where = self._where(row, name)
        # A text among targets is more likely a class for `classes` than a missing number.
        if cell in self.missing_values and not (str(cell) and self.missing == "error"):
            raise self._missing_target(cell, where)
        try:
            value = number(cell, where)
        except DataError as error:
            remedy = line_to_paste(map(str, self.columns[name])) if _is_text(cell) else ""
            raise DataError(f"{error}{remedy}") from None
        if classes is not None and not (value.is_integer() and 0 <= value < classes):
            raise DataError(f"{where}: must be an integer from 0 to {classes - 1}. Received: {cell!r}.")
        return value

    def _missing_target(self, cell: Any, where: str) -> DataError:
        if self.missing == "error":
            return DataError(f"{where}: must be a number. {_received(cell)}. {REMEDY}")
        return DataError(f"{where}: a target is not filled. {_received(cell)}. `missing: drop` leaves such lines out.")

    def _categories(self, name: str, category: Category) -> list[str]:
        texts = [category.text(cell) for cell in self.columns[name]]
        allowed = set(category.values)
        for row, text in enumerate(texts):
            if text not in allowed:
                raise DataError(
                    f"{self._where(row, name)}: no such category. Received: {text!r}. "
                    f"Allowed: {', '.join(category.values)}.{nearest(text, category.values)}"
                )
        return texts


def cells_of(
    table: Table,
    columns: Sequence[str],
    classes: Mapping[str, Classes | None],
    missing: Missing,
    numbers: Collection[str] = (),
    missing_values: MissingValues = USUAL,
) -> Cells:
    """Return columns of a table, without lines that have a missing cell if these are left out.

    Args:
        table: the table, which has the columns.
        columns: their names.
        classes: of the columns of targets.
        missing: treatment of missing cells.
        numbers: columns of inputs that are numbers.
        missing_values: what stands for a missing cell.

    Raises:
        DataError: there are no samples.
    """
    found, places = table.columns(columns, numbers)
    total = len(places)
    if missing == "drop":
        names = {name: class_names(own) for name, own in classes.items()}
        kept = np.ones(total, dtype=bool)
        for name, column in found.items():
            # A class may have the name of a missing value.
            texts = names.get(name, ())
            kept &= [cell not in missing_values or str(cell) in texts for cell in column]
        rows = np.flatnonzero(kept)
        found = {name: _chosen(column, rows) for name, column in found.items()}
        places = [places[row] for row in rows.tolist()]
    if not len(places):
        raise DataError(f"{table.path}: has a header and no samples{' without missing cells' * bool(total)}.")
    return Cells(table.path, found, places, missing, total - len(places), missing_values)


def _chosen(column: Sequence[Any], rows: NDArray[np.intp]) -> Sequence[Any]:
    if isinstance(column, list):
        return [column[row] for row in rows.tolist()]
    return np.asarray(column)[rows]  # type: ignore[return-value]


def _usable(values: Array, classes: int | None) -> bool:
    """Return True if a column needs no look at its cells: all are numbers, and labels if there are classes."""
    if not (np.isfinite(values).all() and np.abs(values).max(initial=0) <= LARGEST):
        return False
    return classes is None or bool((np.floor(values) == values).all() and 0 <= values.min() <= values.max() < classes)


def _received(cell: Any) -> str:
    return f"Received: {cell!r}" if str(cell) else "The cell is empty"


def _remedy(cell: Any) -> str:
    return f"{REMEDY} What stands for a missing cell: `missing_values`." if str(cell) else REMEDY


def _is_text(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return True
    return False
