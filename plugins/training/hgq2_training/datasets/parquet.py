"""A table from a Parquet file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from typing_extensions import override

from hgq2_core.errors import ConfigError, DataError, nearest
from hgq2_training.datasets.csv import Csv
from hgq2_training.datasets.text_table import Places, Table

NUMBERS = frozenset({"float", "double", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))})
"""The types of columns that numpy reads as they are."""


class Parquet(Csv):
    """Columns of a Parquet file, used like those of `csv`; needs pyarrow: `pip install hgq2-training[parquet]`.

    A null is a missing cell. Texts are labels or categories.
    """

    not_in_schema = ("delimiter",)

    def __init__(self, **arguments: Any) -> None:
        if "delimiter" in arguments:
            raise ConfigError(
                f"`delimiter` is of text files; a Parquet file has none. Received: {arguments['delimiter']!r}."
            )
        super().__init__(**arguments)

    @override
    def _table(self, path: str) -> Table:
        return ParquetTable(path)


class ParquetTable:
    """A Parquet file.

    Args:
        path: the file.
        delimiter: not used; text tables have one.

    Raises:
        DataError: the file cannot be read, or pyarrow is not installed.
    """

    def __init__(self, path: str, delimiter: str = "") -> None:
        self.path = path
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise DataError(
                f"{path}: reading Parquet needs pyarrow. To install it: pip install hgq2-training[parquet]"
            ) from error
        try:
            self._file = pyarrow.parquet.ParquetFile(path)
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file") from error
        except (OSError, ValueError) as error:  # those of pyarrow are ValueErrors
            raise DataError(f"{path}: cannot be read as a Parquet file: {error}") from error

    def header(self, wanted: Collection[str]) -> list[str]:
        """Return the names of the columns, after checking that the wanted ones are among them.

        Raises:
            DataError: a column is missing.
        """
        names = [str(name) for name in self._file.schema_arrow.names]
        for name in wanted:
            if name not in names:
                raise DataError(
                    f"{self.path}: no such column. Received: {name!r}. The file has: {', '.join(names)}."
                    f"{nearest(name, names)}"
                )
        return names

    def columns(
        self, names: Collection[str], numbers: Collection[str] = ()
    ) -> tuple[dict[str, Sequence[Any]], Sequence[str]]:
        """Return the cells of some columns, and the place of each row.

        Args:
            names: columns of the file.
            numbers: those that should hold numbers.
        """
        cells: dict[str, Sequence[Any]] = {}
        for name in names:
            column = self._file.read(columns=[name])[name]
            if name in numbers and not column.null_count and str(column.type) in NUMBERS:
                cells[name] = column.to_numpy()
            else:
                cells[name] = ["" if cell is None else cell for cell in column.to_pylist()]
        return cells, Places("row", range(self._file.metadata.num_rows))
