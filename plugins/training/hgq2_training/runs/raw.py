"""New raw data for a run: arrays and files, brought into the form that its model takes."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hgq2_core import ModelConfig
from hgq2_core.data.arrays import CHUNK_BYTES, Rows, changed, chunks, mapped, named
from hgq2_core.data.columns import USUAL, Columns
from hgq2_core.errors import DataError, listing, nearest
from hgq2_training.datasets.archive import in_file
from hgq2_training.datasets.cells import cells_of
from hgq2_training.datasets.hdf5 import opened
from hgq2_training.datasets.parquet import ParquetTable
from hgq2_training.datasets.text_table import Table, TextTable, number
from hgq2_training.runs.directory import load_recorded, read_data, read_preprocessing, read_standardization

Array = Any
"""An array, or `Rows` of a file."""
TABLES: Mapping[str, Callable[[str, str], Table]] = {".csv": TextTable, ".parquet": ParquetTable}
"""The files with columns, by suffix."""


@dataclass(frozen=True)
class RawInputs:
    """What a run knows of its raw inputs.

    Args:
        directory: the run directory.
        config: its config.
        shapes: the shape of each input of the model, without samples, by name.
    """

    directory: Path
    config: ModelConfig
    shapes: Mapping[str, tuple[int | None, ...]]

    @classmethod
    def of(cls, directory: str | Path, shapes: Mapping[str, tuple[int | None, ...]]) -> RawInputs:
        """Return what a run directory says of the inputs."""
        return cls(Path(directory), load_recorded(directory), shapes)

    def parts(self, data: Any, multiple: int) -> Iterator[Any]:
        """Yield raw data as the model takes them, preprocessed as in training, a few megabytes at a time.

        Args:
            data: the path of a file, an array, or a mapping of arrays by the names of the inputs.
            multiple: each part but the last has a number of samples that this divides.

        Raises:
            DataError: the data cannot be read, or do not fit the run.
        """
        preprocessing = read_preprocessing(self.directory)
        if preprocessing is not None and preprocessing.layouts:
            found = preprocessing.apply(self._columns(data, preprocessing.layouts))
            ready = {name: self._shaped(own, name) for name, own in named(found, next(iter(self.shapes))).items()}
            yield ready if len(ready) > 1 else next(iter(ready.values()))
            return
        arrays = {name: self._shaped(array, name) for name, array in self._checked(self._arrays(data)).items()}
        raw = arrays if len(arrays) > 1 else next(iter(arrays.values()))
        bytes_of_sample = sum(array[:1].size for array in arrays.values()) * np.dtype(np.float64).itemsize
        step = multiple * max(1, CHUNK_BYTES // (max(1, bytes_of_sample) * multiple))
        for start in range(0, len(next(iter(arrays.values()))), step):
            part = mapped(lambda array, at=start: np.asarray(array[at : at + step]), raw)
            try:
                if preprocessing is None:
                    yield mapped(lambda array: array.astype(np.float32), part)
                else:
                    yield preprocessing.apply(part)
            except DataError as error:
                counted = f" Samples are counted from sample {start} on." if start else ""
                raise DataError(f"{error}{counted}") from error

    def _checked(self, arrays: dict[str, Array]) -> dict[str, Array]:
        lengths = {len(array) for array in arrays.values()}
        if len(lengths) != 1 or lengths == {0}:
            raise DataError(f"predict: inputs need one number of samples, above 0. Received: {sorted(lengths)}.")
        for name, array in arrays.items():
            if not all(np.isfinite(chunk).all() for chunk in chunks(array)):
                raise DataError(f"predict: input {name!r} holds NaN or infinite values.")
        return arrays

    def _columns(self, data: Any, layouts: Mapping[str, Columns]) -> Mapping[str, Any]:
        """Return the columns of a table's inputs, from a table or from arrays with these columns."""
        if isinstance(data, str | Path) and Path(data).suffix in TABLES:
            return self._from_table(Path(data), layouts)
        columns: dict[str, Any] = {}
        for name, array in self._checked(self._arrays(data)).items():
            layout = layouts[name if name in layouts else ""]
            if array.ndim != 2 or array.shape[1] != len(layout.names):
                raise DataError(
                    f"predict: input {name!r} does not fit the run. Received: shape {list(array.shape[1:])} for a "
                    f"sample. Allowed: the columns {', '.join(layout.names)}."
                )
            whole = np.asarray(array)
            columns |= {column: whole[:, place] for place, column in enumerate(layout.names)}
        return columns

    def _from_table(self, path: Path, layouts: Mapping[str, Columns]) -> Mapping[str, Any]:
        table = TABLES[path.suffix](str(path), str(self._of_data("delimiter") or ","))
        names = list(dict.fromkeys(name for layout in layouts.values() for name in layout.names))
        table.header(names)
        columns: dict[str, Any] = {}
        for layout in layouts.values():
            missing = layout.missing_values
            cells = cells_of(table, layout.names, {}, "mean" if layout.missing else "error", missing_values=missing)
            for name in layout.names:
                for place, cell in zip(cells.places, cells.columns[name], strict=True):
                    if not layout.missing and cell in missing:
                        raise DataError(
                            f"{path}: {place}, column {name!r}: has no value, and a prediction leaves out no line. "
                            f"Received: {cell!r}. A run with `missing: mean` fills such cells."
                        )
            columns |= cells.columns_of(layout)
        return columns

    def _arrays(self, data: Any) -> dict[str, Array]:
        if isinstance(data, str | Path):
            return self._from_file(Path(data))
        if isinstance(data, Mapping):
            missing = [name for name in self.shapes if name not in data]
            if missing:
                raise DataError(f"predict: no array for {listing(missing)}. Received: {listing(map(str, data))}.")
            return {name: _numbers(data[name], f"predict: {name!r}") for name in self.shapes}
        return {self._only(): _numbers(data, "predict: the data")}

    def _only(self) -> str:
        if len(self.shapes) > 1:
            raise DataError(f"predict: the model takes {listing(self.shapes)}; give an array for each, by name.")
        return next(iter(self.shapes))

    def _from_file(self, path: Path) -> dict[str, Array]:
        if path.suffix in TABLES and path.suffix != ".csv":
            raise DataError(f"{path}: the run was not trained on a table.")
        hdf5 = dict.fromkeys((".h5", ".hdf5"), self._from_npz)
        readers = {".npz": self._from_npz, ".npy": self._from_npy, ".csv": self._from_csv, **hdf5}
        if path.suffix in readers and not path.is_file():
            raise DataError(f"{path}: no such file")
        return readers.get(path.suffix, self._from_own_kind)(path)

    def _from_own_kind(self, path: Path) -> dict[str, Array]:
        """Return the inputs from a file of the kind that the run was trained on, as its data set reads them."""
        trained = self._of_data("path")
        is_same = isinstance(trained, str) and Path(trained).suffix == path.suffix
        data = self.config.data_set() if is_same else None
        if data is None or not hasattr(data, "inputs"):
            allowed = ".npz, .npy, .csv, .h5, .hdf5, and the kind of file that the run was trained on"
            raise DataError(f"{path}: not a kind of file that predict reads. Allowed: {allowed}.")
        found = named(data.inputs(str(path)), next(iter(self.shapes)))
        return {name: _numbers(array, f"{path}: {name!r}") for name, array in found.items()}

    def _from_npz(self, path: Path) -> dict[str, Array]:
        arrays = _loaded(path)
        if not isinstance(arrays, Mapping):
            raise DataError(f"{path}: a single array, not an archive; name it .npy.")
        trained = self._of_data("x") or "x"
        if len(self.shapes) > 1:
            names = trained if isinstance(trained, Mapping) else {}
            keys = {name: names.get(name) if names.get(name) in arrays else name for name in self.shapes}
            return self._arrays({name: arrays[key] for name, key in keys.items() if key in arrays})
        own = str(trained)
        for name in (own, self._only()):
            if name in arrays:
                return {self._only(): _numbers(arrays[name], f"{path}: {name!r}")}
        if len(arrays) != 1:
            raise DataError(f"{path}: {own!r} is not in the file. It holds: {listing(arrays)}.{nearest(own, arrays)}")
        ((name, array),) = arrays.items()
        return {self._only(): _numbers(array, f"{path}: {name!r}")}

    def _from_npy(self, path: Path) -> dict[str, Array]:
        if zipfile.is_zipfile(path):
            raise DataError(f"{path}: an archive, not a single array; name it .npz.")
        return {self._only(): _numbers(in_file(str(path), str(path)), str(path))}

    def _from_csv(self, path: Path) -> dict[str, Array]:
        only = self._only()
        table = TextTable(str(path), str(self._of_data("delimiter") or ","))
        names = self._features(table)
        header = table.header(names)
        columns = [header.index(name) for name in names]
        rows = [
            [self._cell(line[column], f"{path}: line {position}, column {name!r}", place)
             for place, (column, name) in enumerate(zip(columns, names, strict=True))]
            for position, line in table.rows()
        ]  # fmt: skip
        if not rows:
            raise DataError(f"{path}: has a header and no samples.")
        return {only: np.array(rows, dtype=np.float64)}

    def _cell(self, text: str, where: str, place: int) -> float:
        if text not in USUAL:
            return number(text, where)
        standardization = read_standardization(self.directory)
        if self._of_data("missing") == "mean" and standardization is not None:
            return float(standardization.mean[place])
        raise DataError(
            f"{where}: has no value, and a prediction leaves out no line. Received: {text!r}."
            " A run with `missing: mean` fills such cells."
        )

    def _features(self, table: TextTable) -> Sequence[str]:
        """Return the columns of the inputs, in the order of the run."""
        standardization = read_standardization(self.directory)
        known = self._of_data("features") or (standardization.features if standardization else ())
        if known:
            return tuple(known)
        target = self._of_data("target") or ()
        others = {*([target] if isinstance(target, str) else target), *(self._of_data("ignore") or ())}
        trained = self._of_data("path")
        if others and trained and Path(trained).is_file():
            table = TextTable(trained, table.delimiter)
        elif others:
            raise DataError(
                f"{table.path}: the order of the run's columns is not known, as {trained} is not there. "
                "Name the columns in `features` of the config."
            )
        return [name for name in table.header(sorted(others)) if name not in others]

    def _of_data(self, argument: str) -> Any:
        return None if self.config.data is None else self.config.data.arguments.get(argument)

    def _shaped(self, array: Array, name: str) -> Array:
        """Return an array in the shape of an input; the columns of a table become its elements."""
        shape = self.shapes[name]
        if None not in shape and array.ndim == 2 and array.shape[1] == math.prod(s or 0 for s in shape):
            return changed(array, lambda rows: rows.reshape(-1, *(size or 0 for size in shape)))
        fits = len(shape) == array.ndim - 1 and all(a in (None, b) for a, b in zip(shape, array.shape[1:], strict=True))
        if not fits:
            raise DataError(
                f"predict: input {name!r} does not fit the run. Received: shape {list(array.shape[1:])} for a sample. "
                f"Allowed: {list(shape)}."
            )
        return array


@dataclass(frozen=True)
class Labels:
    """The classes of a run: the smallest and the largest label, and their names if they have any."""

    largest: int
    names: tuple[str, ...] = ()

    def of_outputs(self, outputs: Array, from_logits: bool) -> Array | None:
        """Return the predicted class of each sample; None if the outputs do not tell one.

        Args:
            outputs: shape `(samples, units)`.
            from_logits: whether a single output is a logit rather than a probability.
        """
        if outputs.ndim != 2 or max(outputs.shape[1], 2) <= self.largest:
            return None
        binary = outputs[:, 0] > (0.0 if from_logits else 0.5)
        indices = binary.astype(np.int64) if outputs.shape[1] == 1 else outputs.argmax(axis=1)
        return np.array(self.names)[indices] if len(self.names) > self.largest else indices


def labels_of(directory: str | Path, config: ModelConfig, outputs: Sequence[str]) -> dict[str, Labels]:
    """Return the classes of a run by output, of those whose targets are labels from 0.

    Args:
        directory: the run directory.
        config: its config.
        outputs: the names of the model's outputs.
    """
    bounds = read_data(directory).get("labels")
    texts = None if config.data is None else config.data.arguments.get("classes")
    found = {}
    for name, own in named(bounds, outputs[0]).items():
        classes = texts.get(name) if isinstance(texts, Mapping) else texts
        if own and own[0] >= 0 and name in outputs:
            names = () if classes is None or isinstance(classes, int) else tuple(map(str, classes))
            found[name] = Labels(int(own[1]), names)
    return found


def _loaded(path: Path) -> Any:
    if path.suffix in (".h5", ".hdf5"):
        with opened(str(path)) as file:
            return {name: file.get(name)[0] for name in file.names}
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as numpy writes it: {error}") from error


def _numbers(array: Any, where: str) -> Array:
    values = array if isinstance(array, Rows) else np.asarray(array)
    if values.dtype.kind not in "biuf" or not values.ndim:
        raise DataError(f"{where}: must hold real numbers, samples first. Received: dtype {values.dtype}.")
    return values
