"""The emulator in Python: `predict` gives what the model gives, in C++. Needs numpy, and a C++ compiler once.

from @NAME@ import Emulator

emulator = Emulator()
y = emulator.predict(x)  # as keras.Model.predict takes them: an array, or a list of one for each input
"""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import shlex
import subprocess
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
NAME = "@NAME@"
TYPES = ["@TYPES@"]
"""The type of each input."""

SHAPES: list[list[int]] = json.loads("@SHAPES@")
"""The shape of each output, without the batch axis."""


def build(library: pathlib.Path, flags: str = "-O3 -march=native") -> pathlib.Path:
    """Compile the shared library; the environment variables CXX and CXXFLAGS replace the compiler and its options."""
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    options = shlex.split(os.environ.get("CXXFLAGS", flags))
    command = [*compiler, "-std=c++17", *options, "-shared", "-fPIC", "-o", str(library), str(HERE / f"{NAME}_c.cpp")]
    subprocess.run(command, check=True)
    return library


class Emulator:
    """The model of this folder.

    Args:
        library: of C, as `build` makes it; by default beside this file, built where it is not there.
    """

    def __init__(self, library: str | pathlib.Path | None = None) -> None:
        path = HERE / f"lib{NAME}.so" if library is None else pathlib.Path(library)
        self._library = ctypes.CDLL(str(path if path.exists() else build(path)))
        self._predict, self._run = (getattr(self._library, f"{NAME}_{name}") for name in ("predict", "run"))
        for function in (self._predict, self._run):
            function.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
        self.numbers = self._sizes("input_numbers", len(TYPES))
        self.elements = self._sizes("input_elements", len(TYPES))
        self.outputs = self._sizes("output_numbers", len(SHAPES))

    def predict(self, x: Any) -> Any:
        """Return the outputs as float64: an array, or a list of one for each output of the model."""
        given = [np.asarray(each, dtype=kind) for each, kind in zip(_listed(x), TYPES, strict=True)]
        outputs = self._called(self._predict, _rows(given, self.numbers), np.float64)
        return outputs[0] if len(outputs) == 1 else outputs

    def run(self, integers: list[Any]) -> list[Any]:
        """Return the outputs in the integers of the ports, for inputs in them: an array for each port."""
        given = [np.asarray(each, dtype=np.int64) for each in _listed(integers)]
        return self._called(self._run, _rows(given, self.elements), np.int64)

    def _sizes(self, name: str, count: int) -> list[int]:
        function = getattr(self._library, f"{NAME}_{name}")
        function.restype = ctypes.c_size_t
        return [int(function(n)) for n in range(count)]

    def _called(self, function: Any, inputs: list[Any], kind: Any) -> list[Any]:
        samples = len(inputs[0])
        outputs = [np.zeros((samples, *shape), dtype=kind) for shape in SHAPES]
        status = function(_pointers(inputs), _pointers(outputs), samples)
        if status == 1:
            raise ValueError("the inputs hold NaN or infinite values")
        if status:
            raise MemoryError("the emulator found no memory")
        return outputs


def _listed(x: Any) -> list[Any]:
    given = list(x) if isinstance(x, list | tuple) else [x]
    if len(given) != len(TYPES) or len({len(each) for each in given}) != 1:
        raise ValueError(f"takes an array for each of {len(TYPES)} inputs, of as many samples each")
    return given


def _rows(arrays: list[Any], sizes: list[int]) -> list[Any]:
    """Return arrays of one row for each sample; the library reads rows of these sizes, whatever it is given."""
    for n, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
        if array.size != len(array) * size:
            raise ValueError(f"input {n} takes {size} numbers for each sample. Received: shape {array.shape}")
    return [np.ascontiguousarray(array) for array in arrays]


def _pointers(arrays: list[Any]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(each.ctypes.data for each in arrays))
