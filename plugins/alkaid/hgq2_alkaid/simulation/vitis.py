"""The C++ that compares a function for Vitis HLS with its test vectors, and the script that compiles and runs it."""

from __future__ import annotations

from collections.abc import Sequence

from hgq2_alkaid.simulation.bench import Bench
from hgq2_core.exporting.ports import Port

SCRIPT = """#!/bin/sh
# Compares the function with its test vectors; needs g++, or the compiler in CXX.
# OPTIMIZE=-O3 takes longer to compile and less to run.
set -e
cd "$(dirname "$0")"
${CXX:-g++} -std=c++17 -w ${OPTIMIZE:--O0} -Isrc -Isrc/static/ap_types sim/testbench.cc -o sim/testbench
sim/testbench
"""

TEMPLATE = """// Feeds {top}_fn one sample after the other, and compares every output with ==.
#include "../utils/{top}_ooc.cc"

#include <cmath>
#include <fstream>
#include <iostream>
#include <string>

// Where the bits of a number are in a word of the test vectors, whether it is signed, and its fraction bits.
struct Element {{
    int offset, width, sign, fraction;
}};

static const Element inputs[] = {{
{inputs}
}};

static const Element outputs[] = {{
{outputs}
}};

// Return a number of a word in hexadecimal.
static double number(const std::string &word, const Element &element) {{
    double value = 0;
    for (int bit = 0; bit < element.width; bit++) {{
        int place = element.offset + bit;
        char digit = word[word.size() - 1 - place / 4];
        int bits = digit <= '9' ? digit - '0' : digit - 'a' + 10;
        double weight = std::ldexp(bits >> place % 4 & 1, bit - element.fraction);
        value += element.sign && bit == element.width - 1 ? -weight : weight;
    }}
    return value;
}}

template <typename Input, typename Output> int compare(void (*model)(Input *, Output *)) {{
    std::ifstream given("vectors/inputs.hex"), wanted("vectors/outputs.hex");
    std::string sample, result;
    static Input model_inp[std::size(inputs)];
    static Output model_out[std::size(outputs)];
    int mismatches = 0;
    for (int n = 0; n < {samples}; n++) {{
        if (!(given >> sample && wanted >> result)) {{
            std::cerr << "error: the test vectors end before sample " << n << std::endl;
            return 2;
        }}
        for (size_t i = 0; i < std::size(inputs); i++) model_inp[i] = number(sample, inputs[i]);
        model(model_inp, model_out);
        bool different = false;
        for (size_t i = 0; i < std::size(outputs); i++)
            different |= model_out[i].to_double() != number(result, outputs[i]);
        mismatches += different;
    }}
    std::cout << mismatches << " mismatches in {samples} samples" << std::endl;
    return mismatches != 0;
}}

int main() {{ return compare(comb_logic::{top}_fn); }}
"""


def testbench(bench: Bench) -> str:
    """Return the source of the test bench."""
    return TEMPLATE.format(
        top=bench.top, inputs=_elements(bench.inputs), outputs=_elements(bench.outputs), samples=bench.samples
    )


def _elements(ports: Sequence[Port]) -> str:
    elements = (element for port in ports for element in port.elements)
    return "\n".join(f"    {{{each.offset}, {each.width}, {each.k}, {each.f}}}," for each in elements)
