"""Models for the emulator, and its code compiled."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest


@pytest.fixture(scope="session")
def compiler():
    found = next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if found is None:
        pytest.skip("no C++ compiler is installed: apt-get install g++")
    return found


@pytest.fixture
def compiled(compiler, tmp_path):
    """Compile several emulators as one program, and return the function of each on the integers of its ports."""
    from hgq2_cpp.source import source

    def build(emulators, flags=("-O1",)):
        runtime = resources.files("hgq2_cpp.runtime")
        snippets = resources.files("hgq2_core.exporting.snippets")
        for folder, name in ((runtime, "hgq2_rows.h"), (runtime, "hgq2_host.h"), (snippets, "host_quantize.h")):
            end = "#endif\n" if folder is snippets else ""
            (tmp_path / name).write_text((folder / name).read_text() + end)
        lines = []
        for number, emulator in enumerate(emulators):
            (tmp_path / f"m{number}.h").write_text(source(emulator, f"m{number}"))
            x, y = (
                ", ".join(f"{name}[{n}]" for n in range(len(ports)))
                for name, ports in (("x", emulator.inputs), ("y", emulator.outputs))
            )
            lines.append(
                f'#include "m{number}.h"\n'
                f'extern "C" void run{number}(const int64_t *const *x, int64_t *const *y, size_t samples) '
                f"{{ hgq2::m{number}::Model().run({{{x}}}, {{{y}}}, samples); }}\n"
                f'extern "C" bool predict{number}(const void *const *x, double *const *y, size_t samples) '
                f"{{ return hgq2::m{number}::Model().predict({{{x}}}, {{{y}}}, samples); }}\n"
            )
        (tmp_path / "all.cpp").write_text("".join(lines))
        warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
        command = [compiler, "-std=c++17", *flags, *warnings, "-shared", "-fPIC", "-o", "all.so", "all.cpp"]
        subprocess.run(command, cwd=tmp_path, check=True)
        return Library(ctypes.CDLL(str(tmp_path / "all.so")), emulators)

    return build


class Library:
    """Emulators in C++, by their number."""

    def __init__(self, library, emulators):
        self.library, self.emulators = library, emulators

    def run(self, number, values):
        """The outputs for values on the grids of the ports, as `Emulator.interpret` gives them."""
        emulator = self.emulators[number]
        f = [element.f for port in emulator.inputs for element in port.elements]
        integers = np.ldexp(values, f).astype(np.int64)
        ends = np.cumsum([len(port.elements) for port in emulator.inputs])[:-1]
        inputs = [np.ascontiguousarray(part) for part in np.split(integers, ends, axis=1)]
        outputs = [np.zeros((len(values), len(port.elements)), dtype=np.int64) for port in emulator.outputs]
        getattr(self.library, f"run{number}")(pointers(inputs), pointers(outputs), ctypes.c_size_t(len(values)))
        steps = [-element.f for port in emulator.outputs for element in port.elements]
        return np.ldexp(np.concatenate(outputs, axis=1).astype(np.float64), steps)

    def predict(self, number, inputs):
        """The outputs for inputs of the model, float32."""
        emulator = self.emulators[number]
        given = [np.ascontiguousarray(each, dtype=np.float32) for each in inputs]
        outputs = [np.zeros((len(given[0]), len(port.elements))) for port in emulator.outputs]
        function = getattr(self.library, f"predict{number}")
        function.restype = ctypes.c_bool
        assert function(pointers(given), pointers(outputs), ctypes.c_size_t(len(given[0])))
        return np.concatenate(outputs, axis=1)


def pointers(arrays):
    return (ctypes.c_void_p * len(arrays))(*(each.ctypes.data for each in arrays))
