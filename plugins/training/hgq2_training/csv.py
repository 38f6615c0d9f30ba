"""Your own table, from a text file with a header."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt

from hgq2_core.config.strict import FromList
from hgq2_core.data import Split, Splits
from hgq2_core.errors import ConfigError, DataError, listing, nearest
from hgq2_training.splitting import Array, Seed, TestFraction, ValidationFraction, assemble, check_fractions

Names = Annotated[tuple[str, ...], Field(min_length=1), FromList]
Classes = PositiveInt | Names

LARGEST = float(np.finfo(np.float32).max)


class Csv:
    """Columns of numbers from a CSV file whose first line names them; split here, or with a file for the test part.

    Args:
        path: the file, UTF-8.
        target: column of the targets, or several.
        features: columns of the inputs, in this order; None for all but the targets.
        classes: of a classification: how many, the column holding integers from 0; or their names as the column has
            them, which become 0, 1, ... in this order. None for targets that are numbers.
        delimiter: between the columns.
        test_path: a file of the same columns for the test part; None splits it off.
        test_fraction: share of the test part; without effect where it has a file.
        validation_fraction: share that validates; 0 for none.
        seed: the same seed gives the same parts.
        standardize: shift and scale the inputs to mean 0 and deviation 1 on the training part.

    Raises:
        ConfigError: fractions or seed that are not allowed, names given twice, or classes of several targets.
    """

    def __init__(
        self,
        *,
        path: str,
        target: str | Names,
        features: Names | None = None,
        classes: Classes | None = None,
        delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ",",
        test_path: str | None = None,
        test_fraction: TestFraction = 0.25,
        validation_fraction: ValidationFraction = 0.1,
        seed: Seed = 0,
        standardize: bool = False,
    ) -> None:
        check_fractions(test_fraction, validation_fraction, seed)
        self.path = path
        self.target = target
        self.features = features
        self.classes = classes
        self.delimiter = delimiter
        self.test_path = test_path
        self.test_fraction = test_fraction
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.standardize = standardize
        self._targets = [target] if isinstance(target, str) else list(target)
        for what, names in (("target", self._targets), ("features", features or ()), ("classes", self._class_names())):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            if twice:
                raise ConfigError(f"`{what}` names differ. Received twice: {listing(twice)}.")
        both = sorted({*self._targets} & {*(features or ())})
        if both:
            raise ConfigError(f"a column is a feature or a target, not both. Received: {listing(both)}.")
        if classes is not None and not isinstance(target, str):
            raise ConfigError(f"`classes` are those of one target column. Received: target={target!r}")

    def load(self) -> Splits:
        """Read, check and split the table.

        Returns:
            float32 inputs `(samples, features)`, and int64 labels or float32 targets.

        Raises:
            DataError: a file, a column or a cell that cannot be used; says which, and why.
        """
        test = None if self.test_path is None else self._read(self.test_path)
        return assemble(
            self._read(self.path),
            test,
            test_fraction=self.test_fraction,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
            standardized=self.standardize,
        )

    def _read(self, path: str) -> Split:
        lines = self._lines(path)
        header = next(lines, None)
        if header is None:
            raise DataError(f"{path}: is empty. Allowed: a header, then a line for each sample.")
        columns = self._columns(header[1], path)
        table = [self._cells(path, number, line, header[1], columns) for number, line in lines]
        if not table:
            raise DataError(f"{path}: has a header and no samples.")
        width = len(self._targets)
        x = np.array([row[width:] for row in table], dtype=np.float64)
        y = np.array([row[:width] for row in table], dtype=np.float64)
        return Split(x, self._as_targets(y))

    def _lines(self, path: str) -> Iterator[tuple[int, list[str]]]:
        """Give the lines that are not blank, with their numbers."""
        try:
            with Path(path).open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=self.delimiter, strict=True, skipinitialspace=True)
                for line in reader:
                    if line:
                        yield reader.line_num, line
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file") from error
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: cannot be read as a CSV file in UTF-8: {error}") from error

    def _columns(self, header: list[str], path: str) -> list[int]:
        """Find the columns of targets and features."""
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise DataError(f"{path}: columns of the same name: {listing(twice)}.")
        wanted = [*self._targets, *(self.features or [name for name in header if name not in self._targets])]
        for name in wanted:
            if name not in header:
                raise DataError(
                    f"{path}: no such column. Received: {name!r}. The header has: {listing(header)}."
                    f"{nearest(name, header)}"
                )
        if len(wanted) == len(self._targets):
            raise DataError(f"{path}: has no column besides the target. Received: {listing(header)}.")
        return [header.index(name) for name in wanted]

    def _cells(self, path: str, number: int, line: list[str], header: list[str], columns: Sequence[int]) -> list[float]:
        if len(line) != len(header):
            raise DataError(f"{path}: line {number} has {len(line)} cells, the header {len(header)}.")
        cells = []
        for position, column in enumerate(columns):
            where = f"{path}: line {number}, column {header[column]!r}"
            is_class = position == 0 and self.classes is not None
            cells.append(self._label(line[column], where) if is_class else _number(line[column], where))
        return cells

    def _label(self, text: str, where: str) -> float:
        if not isinstance(self.classes, int):
            names = self._class_names()
            if text not in names:
                raise DataError(
                    f"{where}: no such class. Received: {text!r}. Allowed: {listing(names)}.{nearest(text, names)}"
                )
            return float(names.index(text))
        value = _number(text, where)
        if not (value.is_integer() and 0 <= value < self.classes):
            raise DataError(f"{where}: must be an integer from 0 to {self.classes - 1}. Received: {text!r}.")
        return value

    def _class_names(self) -> tuple[str, ...]:
        return () if self.classes is None or isinstance(self.classes, int) else tuple(self.classes)

    def _as_targets(self, y: Array) -> Array:
        y = y[:, 0] if isinstance(self.target, str) else y
        return y.astype(np.float32 if self.classes is None else np.int64)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        received = f"Received: {text!r}" if text else "The cell is empty"
        raise DataError(f"{where}: must be a number. {received}.") from None
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise DataError(f"{where}: must be a finite number within float32. Received: {text!r}.")
    return value
