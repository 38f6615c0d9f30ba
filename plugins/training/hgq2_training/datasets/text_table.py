"""The lines and cells of a CSV file."""

from __future__ import annotations

import codecs
import csv
import json
import math
import shlex
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from typing_extensions import override

from hgq2_core.errors import DataError, nearest

LARGEST = float(np.finfo(np.float32).max)
DELIMITERS = (",", ";", "\t", "|", " ")


class _NotCsvError(DataError):
    """Inconsistent quotes and delimiters."""


class Table(Protocol):
    """A file with columns."""

    @property
    def path(self) -> str:
        """The file."""

    def header(self, wanted: Collection[str]) -> list[str]:
        """Return the names of the columns, after checking that the wanted ones are among them."""

    def columns(
        self, names: Collection[str], numbers: Collection[str] = ()
    ) -> tuple[dict[str, Sequence[Any]], Sequence[str]]:
        """Return the cells of some columns, and the place of each line in the file, for messages.

        Those of `numbers` are an array if all their cells are numbers.
        """


@dataclass(frozen=True)
class Places(Sequence[str]):
    """The places of lines in a file, in words, made when a message needs one.

    Args:
        word: for a line.
        numbers: the number of each.
    """

    word: str
    numbers: Sequence[int]

    @override
    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Places: ...
    @override
    def __getitem__(self, index: int | slice) -> str | Places:
        if isinstance(index, slice):
            return Places(self.word, self.numbers[index])
        return f"{self.word} {self.numbers[index]}"


@dataclass(frozen=True)
class TextTable:
    """A CSV file whose first line names the columns.

    Args:
        path: the file, UTF-8.
        delimiter: separator of the columns.
    """

    path: str
    delimiter: str

    def header(self, wanted: Collection[str]) -> list[str]:
        """Return the names of the columns.

        Args:
            wanted: names that must be among them.

        Raises:
            DataError: the file is empty, a column is missing or occurs twice, or the separator differs.
        """
        try:
            _, names = next(self._lines(), (0, None))
        except _NotCsvError:
            self._check_delimiter(wanted)
            raise
        if names is None:
            raise DataError(f"{self.path}: is empty. Allowed: a header, then a line for each sample.")
        for name in wanted:
            if name not in names:
                self._check_delimiter(wanted)
                raise DataError(
                    f"{self.path}: no such column. Received: {name!r}. The header has: {', '.join(names)}."
                    f"{nearest(name, names)}{_without_header(names)}"
                )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{self.path}: columns of the same name: {', '.join(twice)}.")
        return names

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the non-blank lines after the header, with their numbers.

        Raises:
            DataError: a line has fewer or more cells than the header.
        """
        lines = self._lines()
        _, header = next(lines)
        for position, line in lines:
            if len(line) != len(header):
                raise DataError(f"{self.path}: line {position} has {len(line)} cells, the header {len(header)}.")
            yield position, line

    def columns(
        self, names: Collection[str], numbers: Collection[str] = ()
    ) -> tuple[dict[str, Sequence[Any]], Sequence[str]]:
        """Return the texts of some columns, and the place of each line.

        Args:
            names: columns of the header.
            numbers: those that are returned as an array if all their cells are numbers, which takes an eighth of the
                memory.
        """
        header = self.header(names)
        lines = array("q")
        texts: dict[str, list[str]] = {name: [] for name in names if name not in numbers}
        values = {name: array("d") for name in names if name in numbers}
        in_text = [(header.index(name), cells) for name, cells in texts.items()]
        in_numbers = [(header.index(name), column) for name, column in values.items()]
        other = set()  # columns of `numbers` with a cell that is none
        for position, line in self.rows():
            lines.append(position)
            for place, cells in in_text:
                cells.append(line[place])
            for place, column in in_numbers:
                try:
                    value = float(line[place])
                except ValueError:
                    value = math.nan
                if not abs(value) <= LARGEST:
                    other.add(header[place])
                column.append(value)
        if other:  # once more, with the texts that messages quote
            del texts, values
            return self.columns(names, set(numbers) - other)
        found: dict[str, Sequence[Any]] = {**texts, **values}
        return {name: found[name] for name in names}, Places("line", lines)

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        try:
            with Path(self.path).open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=self.delimiter, strict=True, skipinitialspace=True)
                for line in reader:
                    if line:
                        yield reader.line_num, line
        except FileNotFoundError as error:
            raise DataError(f"{self.path}: no such file") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: is not UTF-8. {self._to_convert()}") from error
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read as a CSV file in UTF-8: {error}") from error
        except csv.Error as error:
            raise _NotCsvError(f"{self.path}: cannot be read as a CSV file in UTF-8: {error}") from error

    def _to_convert(self) -> str:
        with Path(self.path).open("rb") as file:
            first = file.read(512)
        is_utf16 = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if 0 in first and not is_utf16:
            return "It holds no text."
        encoding = "UTF-16" if is_utf16 else "ISO-8859-1"
        known = "It is UTF-16." if is_utf16 else "It may be ISO-8859-1, as older programs write."
        return f"{known} To convert it: iconv -f {encoding} -t UTF-8 {shlex.quote(self.path)} > converted.csv"

    def _check_delimiter(self, wanted: Collection[str]) -> None:
        """Refuse a header that has the wanted columns with another delimiter."""
        with Path(self.path).open(encoding="utf-8-sig", errors="replace") as file:
            header = next((line.strip() for line in file if line.strip()), "")
        for delimiter in DELIMITERS:
            names = {name.strip(' "') for name in header.split(delimiter)}
            if delimiter != self.delimiter and len(names) > 1 and names.issuperset(wanted):
                raise DataError(
                    f"{self.path}: the columns are not separated by {json.dumps(self.delimiter)}. Received: {header!r}."
                    f" To paste: delimiter: {json.dumps(delimiter)}"
                )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _without_header(names: Collection[str]) -> str:
    """Return, for the end of a message, what is wrong if the first line is one of data."""
    return " This is a line of data; the first line must name the columns." if any(map(_is_number, names)) else ""


def number(text: Any, where: str) -> float:
    """Return the number that a cell holds.

    Args:
        text: the cell, a text or a number.
        where: its place, for messages.

    Raises:
        DataError: the text is not a number, or float32 cannot hold it.
    """
    try:
        value = float(text)
    except (TypeError, ValueError):
        received = f"Received: {text!r}" if str(text) else "The cell is empty"
        point = " Numbers are written with a decimal point." if _is_number(str(text).replace(",", ".")) else ""
        raise DataError(f"{where}: must be a number. {received}.{point}") from None
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise DataError(f"{where}: must be a finite number within float32. Received: {text!r}.")
    return value
