"""The C++ that compares a project with its test vectors, and the script that compiles and runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hgq2_core.exporting.simulation import write_script
from hgq2_core.exporting.vectors import Vectors
from hgq2_core.files import write_text

INPUTS, OUTPUTS = "tb_data/tb_input_features.dat", "tb_data/tb_output_predictions.dat"
"""The files that the test bench of hls4ml reads too, for the simulations of the vendors."""

SCRIPT = """#!/bin/sh
# Compares the project with its test vectors; needs g++, or the compiler in CXX.
# OPTIMIZE=-O3 takes longer to compile and less to run.
set -e
cd "$(dirname "$0")"
${CXX:-g++} -std=c++17 -w ${OPTIMIZE:--O0} -Ifirmware/ap_types sim/testbench.cpp -o sim/testbench
sim/testbench
"""

TESTBENCH = """// Feeds {top} one sample after the other, and compares every output with ==.
#include "../firmware/{top}.cpp"

#include <fstream>
#include <iostream>

template <typename T, int N> void read(std::istream &file, T (&numbers)[N]) {{
    double value;
    for (T &number : numbers) {{
        file >> value;
        number = value;
    }}
}}

template <typename T, int N> bool differs(std::istream &file, T (&numbers)[N]) {{
    double value;
    bool different = false;
    for (T &number : numbers) {{
        file >> value;
        different |= number.to_double() != value;
    }}
    return different;
}}
{streams}
int main() {{
    std::ifstream inputs("{inputs}"), outputs("{outputs}");
{declarations}
    int mismatches = 0;
    for (int sample = 0; sample < {samples}; sample++) {{
{reads}
        {top}({arguments});
        bool different = false;
{compares}
        mismatches += different;
    }}
    if (!inputs || !outputs) {{
        std::cerr << "The test vectors cannot be read." << std::endl;
        return 2;
    }}
    std::cout << mismatches << " mismatches in {samples} samples" << std::endl;
    return mismatches != 0;
}}
"""

STREAMS = """
template <typename T> void read(std::istream &file, hls::stream<T> &numbers, int size) {
    for (int first = 0; first < size; first += T::size) {
        T packet;
        read(file, packet.data);
        numbers.write(packet);
    }
}

template <typename T> bool differs(std::istream &file, hls::stream<T> &numbers, int size) {
    bool different = false;
    for (int first = 0; first < size; first += T::size) {
        if (numbers.empty()) return true;
        T packet = numbers.read();
        different |= differs(file, packet.data);
    }
    return different || !numbers.empty();
}
"""


@dataclass(frozen=True)
class Argument:
    """An argument of the top function.

    Args:
        type_name: type of its elements, or of the packets of a stream.
        size: how many numbers it has.
        streamed: whether it is a stream.
    """

    type_name: str
    size: int
    streamed: bool = False

    def declaration(self, name: str) -> str:
        """Return the declaration of a variable."""
        return f"hls::stream<{self.type_name}> {name};" if self.streamed else f"{self.type_name} {name}[{self.size}];"

    def passed(self, name: str) -> str:
        """Return a variable as an argument of the functions of the test bench."""
        return f"{name}, {self.size}" if self.streamed else name


def write_simulation(
    directory: Path, top: str, inputs: Sequence[Argument], outputs: Sequence[Argument], vectors: Vectors
) -> None:
    """Write the test vectors, the test bench, and the script that runs it.

    Args:
        directory: of the project.
        top: name of the top function.
        inputs: its inputs.
        outputs: its outputs.
        vectors: what it is compared with.
    """
    named = {f"x{n}": each for n, each in enumerate(inputs)}, {f"y{n}": each for n, each in enumerate(outputs)}
    text = TESTBENCH.format(
        top=top,
        inputs=INPUTS,
        outputs=OUTPUTS,
        samples=len(vectors.inputs),
        streams=STREAMS if any(each.streamed for each in (*inputs, *outputs)) else "",
        declarations=_lines(1, [a.declaration(name) for each in named for name, a in each.items()]),
        reads=_lines(2, [f"read(inputs, {a.passed(name)});" for name, a in named[0].items()]),
        arguments=", ".join([*named[0], *named[1]]),
        compares=_lines(2, [f"different |= differs(outputs, {a.passed(name)});" for name, a in named[1].items()]),
    )
    (directory / "sim").mkdir()
    write_text(directory / "sim" / "testbench.cpp", text)
    for name, values in ((INPUTS, vectors.inputs), (OUTPUTS, vectors.outputs)):
        write_text(directory / name, "".join(" ".join(map(repr, row)) + "\n" for row in values.tolist()))
    write_script(directory, SCRIPT)


def _lines(depth: int, lines: Sequence[str]) -> str:
    return "\n".join(f"{'    ' * depth}{line}" for line in lines)
