"""A table from a text file with a header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from typing_extensions import override

from hgq2_core.data.arrays import named
from hgq2_core.data.columns import USUAL, Columns, Encoding, MissingValues
from hgq2_core.data.splits import Dataset, Split, Splits
from hgq2_core.errors import ConfigError, DataError, listing, nearest
from hgq2_core.schema.base import FromList
from hgq2_training.datasets.cells import Cells, cells_of
from hgq2_training.datasets.labels import Classes, Names, class_names
from hgq2_training.datasets.missing import Missing
from hgq2_training.datasets.splitting import (
    Array,
    Fold,
    Folds,
    Seed,
    Splitting,
    TestFraction,
    ValidationFraction,
)
from hgq2_training.datasets.steps import Limits, TableSteps
from hgq2_training.datasets.targets import check_classes
from hgq2_training.datasets.text_table import Table, TextTable

OF_TARGETS = "write their logarithms to the file, or use the loss mean_squared_logarithmic_error"
"""What to do for targets over many magnitudes."""


class Csv(Dataset):
    """Columns of a CSV file whose first line names them; the test part is split off, or comes from another file.

    Args:
        path: the file, UTF-8.
        target: column of the targets, or several; for several outputs, a mapping from their names.
        features: columns of the inputs, in this order; None for all that have no other use; for several inputs, a
            mapping from their names.
        classes: for a classification: the number of classes, if the column has integers from 0; or the names in the
            column, which become 0, 1, ... in this order. None for targets that are numbers. For several outputs, a
            mapping.
        delimiter: separator of the columns.
        test_path: a file with the same columns for the test part; None to split it off.
        test_fraction: share of the test part, unless it has a file.
        validation_fraction: share of the validation part, unless it has a file; 0 for none.
        seed: seed of the random split.
        standardize: shift and scale the inputs to mean 0 and deviation 1 on the training part, except categories.
        ignore: columns that are not inputs.
        missing: treatment of missing cells: `error` refuses the file, `drop` leaves the line out, `mean` replaces a
            missing number by the mean of the training part, and a missing category by the most frequent text of the
            file.
        validation_path: a file with the same columns for the validation part; None to split it off.
        sample_weight: column of the weights of the samples in the loss.
        categorical: columns of texts: `one_hot` makes an input 0 or 1 of each text, `index` the place of the text
            among all, in the order of the alphabet, as an embedding takes it.
        clip: smallest and largest value of some columns, null for no limit.
        log: columns of which to take the natural logarithm, after `clip`.
        folds: number of equal parts of what is not for test, of which one is the validation part, in place of
            `validation_fraction`.
        fold: which of them, counted from 0.
        missing_values: texts, in any case, and numbers that stand for a missing cell; by default `?`, `NA`, `N/A`,
            `NaN`, `null` and `none`. An empty cell always is one.

    Raises:
        ConfigError: fractions or seed are not allowed, a name occurs twice, or several targets have classes.
    """

    def __init__(
        self,
        *,
        path: str,
        target: str | Names | dict[str, str | Names],
        features: Names | dict[str, Names] | None = None,
        classes: Classes | dict[str, Classes] | None = None,
        delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ",",
        test_path: str | None = None,
        test_fraction: TestFraction = 0.25,
        validation_fraction: ValidationFraction = 0.1,
        seed: Seed = 0,
        standardize: bool = False,
        ignore: Names | None = None,
        missing: Missing = "error",
        validation_path: str | None = None,
        sample_weight: str | None = None,
        categorical: dict[str, Encoding] | None = None,
        clip: dict[str, Limits] | None = None,
        log: Names | None = None,
        folds: Folds | None = None,
        fold: Fold = 0,
        missing_values: Annotated[tuple[str | float, ...], FromList] = USUAL.values,
    ) -> None:
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
        self.validation_path = validation_path
        self.sample_weight = sample_weight
        self.categorical = categorical
        self.clip = clip
        self.log = log
        self.folds = folds
        self.fold = fold
        self.missing_values = missing_values
        self._missing_values = MissingValues(tuple(missing_values))
        own = test_path is not None, validation_path is not None
        self._splitting = Splitting(test_fraction, validation_fraction, seed, folds, fold, *own)
        self._steps = TableSteps(standardize, missing, dict(clip or {}), tuple(log or ()))
        self._targets = {name: _names(own) for name, own in named(target, "").items()}
        self._classes = {name: named(classes, "").get(name) for name in self._targets}
        self._check_names()
        check_classes(classes, target)

    @override
    def load(self) -> Splits:
        """Return the table, checked and split.

        Returns:
            float32 inputs `(samples, elements)`, and int64 labels or float32 targets.

        Raises:
            DataError: a file, a column or a cell cannot be used; the message says which and why.
        """
        table = self._table(self.path)
        features = self._features(table)
        cells = self._cells(table, features)
        categories = {name: cells.category(name, how) for name, how in (self.categorical or {}).items()}
        layouts = {
            name: Columns(
                own,
                {each: categories[each] for each in own if each in categories},
                self.missing == "mean",
                self._missing_values,
            )
            for name, own in features.items()
        }
        whole, notes = self._read(cells, layouts)
        given: dict[str, Split | None] = {"test": None, "validation": None}
        for part, path in (("test", self.test_path), ("validation", self.validation_path)):
            if path is not None:
                given[part], more = self._read(self._cells(self._table(path), features), layouts)
                notes += more
        splits = self._splitting.parts(whole, given["test"], given["validation"])
        texts = {name: class_names(own) or None for name, own in self._classes.items()}
        return self._steps.applied(splits, self._as(layouts, self.features), notes, self._as(texts, self.target))

    def inputs(self, path: str) -> Any:
        """Return the columns of the inputs of a file of new data, for `Splits.preprocessing`.

        Args:
            path: a file with these columns, and any other.

        Raises:
            DataError: a file or a column cannot be used.
        """
        columns = [name for own in self._features(self._table(self.path)).values() for name in own]
        table = self._table(path)
        table.header(columns)
        return table.columns(columns)[0]

    def _table(self, path: str) -> Table:
        return TextTable(path, self.delimiter)

    def _features(self, table: Table) -> dict[str, tuple[str, ...]]:
        """Return the columns of each input, in order."""
        others = [*self._target_columns, *(self.ignore or ()), *self._weights]
        given = {name: tuple(own) for name, own in named(self.features, "").items()} if self.features else {}
        header = table.header([*others, *(name for own in given.values() for name in own)])
        found = given or {"": tuple(name for name in header if name not in others)}
        if not all(found.values()):
            ignored = " and those of `ignore`" if self.ignore else ""
            raise DataError(f"{table.path}: has no column besides the target{ignored}. Received: {', '.join(header)}.")
        known = [name for own in found.values() for name in own]
        for what, names in (("categorical", self.categorical), ("clip", self.clip), ("log", self.log)):
            for name in names or ():
                if name not in known:
                    of_target = f" It is a target: {OF_TARGETS}." if name in self._target_columns else ""
                    raise ConfigError(
                        f"`{what}` names columns of inputs. Received: {name!r}. "
                        f"Allowed: {listing(known)}.{of_target or nearest(name, known)}"
                    )
        return found

    def _cells(self, table: Table, features: Mapping[str, tuple[str, ...]]) -> Cells:
        wanted = [*self._target_columns, *(name for own in features.values() for name in own), *self._weights]
        table.header(wanted)
        classes = {column: self._classes[name] for name, own in self._targets.items() for column in own}
        numbers = {name for own in features.values() for name in own} - {*(self.categorical or ())}
        numbers -= {*self._target_columns}
        columns = list(dict.fromkeys(wanted))
        return cells_of(table, columns, classes, self.missing, numbers, self._missing_values)

    def _read(self, cells: Cells, layouts: Mapping[str, Columns]) -> tuple[Split, tuple[str, ...]]:
        """Return targets, inputs, and notes on missing cells."""
        y = {name: self._read_targets(cells, name) for name in self._targets}
        for name in self.log or ():
            if not (self.clip or {}).get(name, (None, None))[0]:
                cells.check_logarithm(name)
        x = {name: cells.inputs(layout) for name, layout in layouts.items()}
        weight = None if self.sample_weight is None else cells.weights(self.sample_weight)
        filled = sum(int(np.isnan(each).sum()) for each in x.values())
        categories = {name: own for layout in layouts.values() for name, own in layout.categories.items()}
        return Split(self._as(x, self.features), self._as(y, self.target), weight), cells.notes(filled, categories)

    def _read_targets(self, cells: Cells, name: str) -> Array:
        classes = self._classes[name]
        columns = [cells.targets(column, classes) for column in self._targets[name]]
        single = isinstance(named(self.target, "")[name], str)
        y = columns[0] if single else np.stack(columns, axis=1)
        return y.astype(np.float32 if classes is None else np.int64)

    @property
    def _target_columns(self) -> list[str]:
        return [name for own in self._targets.values() for name in own]

    @property
    def _weights(self) -> list[str]:
        return [] if self.sample_weight is None else [self.sample_weight]

    @staticmethod
    def _as(found: dict[str, Any], asked: Any) -> Any:
        """Return the only one where a config asks for one, else all by name."""
        return found if isinstance(asked, Mapping) else found[""]

    def _check_names(self) -> None:
        features = [name for own in named(self.features or (), "").values() for name in own]
        columns = {"target": self._target_columns, "features": features, "ignore": list(self.ignore or ())}
        for what, names in {**columns, "log": list(self.log or ())}.items():
            twice = sorted({name for name in names if list(names).count(name) > 1})
            if twice:
                raise ConfigError(f"`{what}` names differ. Received twice: {listing(twice)}.")
        columns["sample_weight"] = self._weights
        words = {"target": "a target", "features": "a feature", "ignore": "ignored", "sample_weight": "a weight"}
        for use, name in (
            ("target", "features"),
            ("target", "ignore"),
            ("features", "ignore"),
            ("target", "sample_weight"),
            ("features", "sample_weight"),
            ("ignore", "sample_weight"),
        ):
            both = sorted({*columns[use]} & {*columns[name]})
            if both:
                raise ConfigError(f"a column is {words[name]} or {words[use]}, not both. Received: {listing(both)}.")
        for output, own in self._classes.items():
            asked = named(self.target, "")[output]
            if own is not None and not isinstance(asked, str):
                raise ConfigError(f"`classes` are those of one target column. Received: target={asked!r}")
        numbers = {"clip": list(self.clip or ()), "log": list(self.log or ())}
        for what, names in numbers.items():
            both = sorted({*names} & {*(self.categorical or ())})
            if both:
                raise ConfigError(
                    f"`{what}` is of numbers, `categorical` of texts. Received for both: {listing(both)}."
                )


def _names(columns: str | Names) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns)
