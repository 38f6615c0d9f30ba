"""Predictions of a run for raw data."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from hgq2_core.data.arrays import named
from hgq2_core.errors import ConfigError
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.graph import interpret, model_inputs, output_names
from hgq2_core.exporting.graph import run as run_graph
from hgq2_core.files import atomic_path
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_training.runs.directory import load
from hgq2_training.runs.raw import RawInputs, labels_of

Array = NDArray[Any]

BATCH_SIZE = 1024
CLASS = "class"
SUFFIXES = (".csv", ".npz")


@dataclass(frozen=True)
class Predictions:
    """What a run's model gives for raw data.

    Args:
        outputs: the values of each output by name, float32, samples first.
        classes: the predicted class of each sample, by its name or else its label; None without labels. Of several
            outputs, a mapping from those with labels.
    """

    outputs: Mapping[str, Array]
    classes: Array | Mapping[str, Array] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values())))

    def save(self, path: str | Path) -> None:
        """Write the predictions to a `.npz` or `.csv` file, one line for each sample.

        The classes are named `class`, or `predicted_class` beside an output `class`; of several outputs, after each
        output, such as `signal_class`.

        Raises:
            ConfigError: the file has another suffix.
            WriteError: it cannot be written.
        """
        path = check_output(path)
        with atomic_path(path) as temporary:
            if path.suffix == ".npz":
                np.savez(temporary, **self._with_classes(self.outputs))  # type: ignore[arg-type]
            else:
                self._write_csv(temporary)

    def _write_csv(self, path: Path) -> None:
        columns: dict[str, Array] = {}
        for name, values in self.outputs.items():
            flat = values.reshape(len(values), -1)
            one = flat.shape[1] == 1
            columns |= {name if one else f"{name}_{index}": flat[:, index] for index in range(flat.shape[1])}
        columns = self._with_classes(columns)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            # The shortest text that gives the same float32.
            writer.writerows(zip(*(map(str, values) for values in columns.values()), strict=True))

    def _with_classes(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        found = {}
        for output, classes in named(self.classes, "").items():
            name = f"{output}_{CLASS}" if output else CLASS
            found[f"predicted_{name}" if name in columns else name] = classes
        return {**columns, **({} if self.classes is None else found)}


def check_output(path: str | Path) -> Path:
    """Return the path of an output file after checking its suffix.

    Raises:
        ConfigError: the suffix is another one.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: predictions are written to a file that ends in {' or '.join(SUFFIXES)}.")
    return path


@preserve_rng()
def predict(run: str | Path, data: Any, *, front: int | str | None = None, integers: bool = False) -> Predictions:
    """Return what a run's frozen model gives for raw data, which are standardized as in training.

    Args:
        run: the run directory.
        data: the path of a file (npz, npy, hdf5, csv or parquet with the columns of the run, or of the run's own kind),
            an array, or arrays by input name. What is in npy and hdf5 files is read piece by piece.
        front: a model of the run's front, by its number in rising EBOPs or as `best`; None for the last one.
        integers: whether to compute with integers, as hardware does; the values are equal.

    Raises:
        ConfigError: the front has no such model.
        DataError: the data cannot be read, or do not fit the run.
        ModelFileError: there is no run, or a file is damaged.
    """
    model = load(run, frozen=True, front=front)
    raw = RawInputs.of(run, {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs})
    names = output_names(model)
    parts = [
        keras.tree.flatten(_by_integers(model, part) if integers else _by_keras(model, part))
        for part in raw.parts(data, BATCH_SIZE)
    ]
    outputs = {name: np.concatenate(values) for name, values in zip(names, zip(*parts, strict=True), strict=True)}
    loss = None if raw.config.training is None else raw.config.training.loss
    classes = {}
    for name, labels in labels_of(run, raw.config, names).items():
        own = loss.get(name) if isinstance(loss, Mapping) else loss
        from_logits = own is not None and bool(own.arguments.get("from_logits", False))
        found = labels.of_outputs(outputs[name], from_logits)
        if found is not None:
            classes[name] = found
    if len(names) == 1 or not classes:
        return Predictions(outputs, classes.get(names[0]))
    return Predictions(outputs, classes)


def _by_keras(model: keras.Model, inputs: Any) -> Any:
    return model.predict(inputs, batch_size=BATCH_SIZE, verbose=0)


def _by_integers(model: keras.Model, inputs: Any) -> list[Array]:
    arrays = keras.tree.flatten(inputs)
    parts = []
    for start in range(0, len(arrays[0]), BATCH_SIZE):
        batch = keras.tree.map_structure(lambda array, at=start: array[at : at + BATCH_SIZE], inputs)
        exact = run_graph(
            model, [from_float(np.asarray(each)) for each in model_inputs(model, batch)], interpret(Integers())
        )
        parts.append([to_float(each, np.float32) for each in exact])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]
