"""The file of an export, run by qonnx's executor on the test vectors beside it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hgq2_core.errors import ToolError
from hgq2_core.exporting.exporter import Simulation
from hgq2_core.exporting.vectors import FOLDER
from hgq2_qonnx.onnx_file import BATCHED, MODEL

NEEDS = "pip install 'qonnx>=1.0,<1.1'"

SINGLY = 16
"""Samples that are run one by one as well, which takes the executor milliseconds for every node."""

Arrays = dict[str, npt.NDArray[Any]]


def write_vectors(directory: Path, inputs: Arrays, outputs: Arrays) -> None:
    """Write test vectors, one array of numpy for each input and output.

    Args:
        directory: of the export.
        inputs: by the names of the graph's.
        outputs: by the names of the graph's.
    """
    folder = directory / FOLDER
    folder.mkdir()
    for kind, arrays in (("inputs", inputs), ("outputs", outputs)):
        # numpy 2.0 has no allow_pickle here: it would write that as one more array.
        np.savez_compressed(folder / f"{kind}.npz", **arrays)  # type: ignore[arg-type]


def simulate(directory: Path) -> Simulation:
    """Run both files of an export, and count the samples whose outputs are not those of its test vectors.

    All go through the file of many samples at once, and the first ones through that of one as well.

    Args:
        directory: of the export.

    Raises:
        ToolError: qonnx is not installed, fails, or there are no vectors.
    """
    for file in (MODEL, BATCHED):
        if not (directory / file).is_file():
            raise ToolError(f"simulate: {directory / file} is not there; only what `export` wrote is simulated.")
    given, wanted = (_read(directory / FOLDER / f"{kind}.npz") for kind in ("inputs", "outputs"))
    sizes = {len(array) for array in (*given.values(), *wanted.values())}
    if len(sizes) != 1:
        raise ToolError(f"simulate: {directory / FOLDER}: the test vectors are of unequal length, or there are none.")
    different = _different(execute(directory / BATCHED, given), wanted)
    different[:SINGLY] |= _different(execute(directory / MODEL, _first(given)), _first(wanted))
    return Simulation(len(different), int(different.sum()))


def _first(arrays: Arrays) -> Arrays:
    return {name: array[:SINGLY] for name, array in arrays.items()}


def _different(got: Arrays, wanted: Arrays) -> npt.NDArray[np.bool_]:
    """Return for each sample whether an output differs."""
    if {name: array.shape for name, array in got.items()} != {name: array.shape for name, array in wanted.items()}:
        raise ToolError("simulate: the test vectors are those of another model.")
    each = [(got[name] != array).reshape(len(array), -1).any(axis=1) for name, array in wanted.items()]
    return np.asarray(np.logical_or.reduce(each))


def execute(file: Path, inputs: Arrays) -> Arrays:
    """Return the outputs that qonnx's executor gives, one row per sample.

    Args:
        file: of QONNX, with a fixed batch size.
        inputs: by name, samples first.

    Raises:
        ToolError: qonnx cannot be imported, or it fails.
    """
    try:
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
    except ImportError as error:
        raise ToolError(f"simulate: qonnx cannot be imported: {error}. Install it with {NEEDS}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ModelWrapper(str(file))
            size = next(iter(model.graph.input)).type.tensor_type.shape.dim[0].dim_value
            samples = len(next(iter(inputs.values())))
            parts = []
            for start in range(0, samples, size):
                rows = np.minimum(np.arange(start, start + size), samples - 1)  # the last batch is filled up
                parts.append(execute_onnx(model, {name: array[rows] for name, array in inputs.items()}))
    except Exception as error:  # qonnx and onnxruntime raise all kinds
        raise ToolError(f"simulate: qonnx failed on {file}: {error}") from error
    return {name: np.concatenate([part[name] for part in parts])[:samples] for name in parts[0]}


def _read(path: Path) -> Arrays:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy and zipfile raise all kinds for damaged archives
        raise ToolError(f"simulate: the test vectors cannot be read: {error}") from error
