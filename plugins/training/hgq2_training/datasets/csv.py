"""A table from a text file with a header."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from hgq2_core.data.splits import Dataset, Split, Splits
from hgq2_core.errors import ConfigError, DataError, listing, nearest
from hgq2_training.datasets.labels import Classes, Names, class_names, line_to_paste
from hgq2_training.datasets.missing import REMEDY, Missing, fill, is_missing
from hgq2_training.datasets.splitting import (
    Array,
    Seed,
    TestFraction,
    ValidationFraction,
    check_fractions,
    in_parts,
    with_inputs_ready,
)
from hgq2_training.datasets.text_table import TextTable, number


class Csv(Dataset):
    """Columns of a CSV file whose first line names them; the test part is split off, or comes from another file.

    Args:
        path: the file, UTF-8.
        target: column of the targets, or several.
        features: columns of the inputs, in this order; None for all except the targets and `ignore`.
        classes: for a classification: the number of classes, if the column has integers from 0; or the names in the
            column, which become 0, 1, ... in this order. None for targets that are numbers.
        delimiter: separator of the columns.
        test_path: a file with the same columns for the test part; None to split it off.
        test_fraction: share of the test part, unless it has a file.
        validation_fraction: share of the validation part; 0 for none.
        seed: seed of the random split.
        standardize: shift and scale the inputs to mean 0 and deviation 1 on the training part.
        ignore: columns that are not inputs.
        missing: treatment of cells that are empty, `?`, `NA`, `NaN` or `null`: `error` refuses the file, `drop` leaves
            the line out, `mean` replaces a missing input by the mean of the training part.

    Raises:
        ConfigError: fractions or seed are not allowed, a name occurs twice, or several targets have classes.
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
        ignore: Names | None = None,
        missing: Missing = "error",
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
        self.ignore = ignore
        self.missing = missing
        self._targets = [target] if isinstance(target, str) else list(target)
        self._names = class_names(classes)
        columns = {"target": self._targets, "features": list(features or ()), "ignore": list(ignore or ())}
        for what, names in (*columns.items(), ("classes", self._names)):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            if twice:
                raise ConfigError(f"`{what}` names differ. Received twice: {listing(twice)}.")
        for use, name in (("target", "features"), ("target", "ignore"), ("features", "ignore")):
            both = sorted({*columns[use]} & {*columns[name]})
            if both:
                words = {"target": "a target", "features": "a feature", "ignore": "ignored"}
                raise ConfigError(f"a column is {words[name]} or {words[use]}, not both. Received: {listing(both)}.")
        if classes is not None and not isinstance(target, str):
            raise ConfigError(f"`classes` are those of one target column. Received: target={target!r}")

    def load(self) -> Splits:
        """Return the table, checked and split.

        Returns:
            float32 inputs `(samples, features)`, and int64 labels or float32 targets.

        Raises:
            DataError: a file, a column or a cell cannot be used; the message says which and why.
        """
        table = TextTable(self.path, self.delimiter)
        features = self._features(table)
        whole, notes = self._read(table, features)
        test = None
        if self.test_path is not None:
            test, of_test = self._read(TextTable(self.test_path, self.delimiter), features)
            notes += of_test
        splits = in_parts(
            whole,
            test,
            test_fraction=self.test_fraction,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
        )
        filled = fill(splits, features) if self.missing == "mean" else splits
        return with_inputs_ready(filled, standardized=self.standardize, features=features, notes=notes)

    def _features(self, table: TextTable) -> tuple[str, ...]:
        """Return the columns of the inputs, in order."""
        others = [*self._targets, *(self.ignore or ())]
        header = table.header([*others, *(self.features or ())])
        features = tuple(self.features or (name for name in header if name not in others))
        if not features:
            ignored = " and those of `ignore`" if self.ignore else ""
            raise DataError(f"{table.path}: has no column besides the target{ignored}. Received: {', '.join(header)}.")
        return features

    def _read(self, table: TextTable, features: tuple[str, ...]) -> tuple[Split, tuple[str, ...]]:
        """Return targets, inputs, and notes on missing cells."""
        names = [*self._targets, *features]
        header = table.header(names)
        columns = [header.index(name) for name in names]
        rows, dropped = [], 0
        for position, line in table.rows():
            cells = [line[column] for column in columns]
            if self.missing == "drop" and any(map(self._is_missing, cells, range(len(cells)))):
                dropped += 1
            else:
                rows.append(self._values(cells, names, f"{table.path}: line {position}", table))
        if not rows:
            raise DataError(f"{table.path}: has a header and no samples{' without missing cells' * bool(dropped)}.")
        values = np.array(rows, dtype=np.float64)
        width = len(self._targets)
        x, y = values[:, width:], values[:, :width]
        return Split(x, self._as_targets(y)), _notes(table.path, dropped, len(rows), int(np.isnan(x).sum()))

    def _is_missing(self, text: str, index: int) -> bool:
        # A class may have the name of a missing value.
        return is_missing(text) and not (index == 0 and text in self._names)

    def _values(self, cells: list[str], names: list[str], line: str, table: TextTable) -> list[float]:
        values = []
        for index, (text, name) in enumerate(zip(cells, names, strict=True)):
            where = f"{line}, column {name!r}"
            is_target = index < len(self._targets)
            # A text among targets is more likely a class for `classes` than a missing number.
            if self._is_missing(text, index) and not (is_target and text and self.missing == "error"):
                values.append(self._missing(text, where, is_target))
            elif is_target:
                values.append(self._target(text, where, table, name))
            else:
                values.append(number(text, where))
        return values

    def _missing(self, text: str, where: str, is_target: bool) -> float:
        received = f"Received: {text!r}" if text else "The cell is empty"
        if self.missing == "error":
            raise DataError(f"{where}: must be a number. {received}. {REMEDY}")
        if is_target:
            raise DataError(f"{where}: a target is not filled. {received}. `missing: drop` leaves such lines out.")
        return math.nan

    def _target(self, text: str, where: str, table: TextTable, name: str) -> float:
        if self._names:
            if text not in self._names:
                allowed = ", ".join(self._names)
                raise DataError(
                    f"{where}: no such class. Received: {text!r}. Allowed: {allowed}.{nearest(text, self._names)}"
                )
            return float(self._names.index(text))
        try:
            value = number(text, where)
        except DataError as error:
            raise DataError(f"{error}{line_to_paste(_cells(table, name)) if _is_text(text) else ''}") from None
        if isinstance(self.classes, int) and not (value.is_integer() and 0 <= value < self.classes):
            raise DataError(f"{where}: must be an integer from 0 to {self.classes - 1}. Received: {text!r}.")
        return value

    def _as_targets(self, y: Array) -> Array:
        y = y[:, 0] if isinstance(self.target, str) else y
        return y.astype(np.float32 if self.classes is None else np.int64)


def _cells(table: TextTable, name: str) -> list[str]:
    column = table.header([name]).index(name)
    return [line[column] for _, line in table.rows()]


def _is_text(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return True
    return False


def _notes(path: str, dropped: int, kept: int, filled: int) -> tuple[str, ...]:
    notes = []
    if dropped:
        notes.append(f"{path}: lines left out for a missing cell: {dropped} of {dropped + kept}.")
    if filled:
        notes.append(f"{path}: missing cells filled with the mean of the training part: {filled}.")
    return tuple(notes)
