"""The Verilog test bench that compares a circuit with its test vectors, and the script that runs it."""

from __future__ import annotations

from hgq2_alkaid.simulation.bench import Bench

SCRIPT = """#!/bin/sh
# Compares the circuit with its test vectors, in Icarus Verilog or, by SIMULATOR=verilator, in Verilator, which compiles
# the circuit first.
set -e
cd "$(dirname "$0")"
for file in sim/*testbench.v; do
    bench=$(basename "$file" .v)
    if [ "${SIMULATOR:-iverilog}" = verilator ]; then
        # The warnings that alkaid's comments name are unknown to other versions of Verilator.
        sed 's/verilator lint_//g' src/*.v src/static/*.v "$file" >"sim/$bench.all.v"
        verilator --binary --timing -j 0 -Wno-fatal -Wno-lint -Wno-style --top-module "$bench" --Mdir "sim/$bench" \\
            -o simulation "sim/$bench.all.v" >"sim/$bench.log" 2>&1 || { cat "sim/$bench.log" >&2; exit 1; }
        "sim/$bench/simulation"
    else
        iverilog -g2012 -s "$bench" -o "sim/$bench.vvp" "$file" src/*.v src/static/*.v
        vvp -n "sim/$bench.vvp"
    fi
done
"""

TEMPLATE = """`timescale 1 ns / 1 ps

// Feeds {top} one input per cycle, and compares each output {cycles} cycles later.
module testbench;
    reg clk = 0;
    reg [{inputs}:0] model_inp;
    wire [{outputs}:0] model_out;
    reg [{inputs}:0] given [0:{last}];
    reg [{outputs}:0] wanted [0:{last}];
    integer cycle;
    integer mismatches = 0;

    {top} circuit ({clock}.model_inp(model_inp), .model_out(model_out));

    initial begin
        $readmemh("vectors/inputs.hex", given);
        $readmemh("vectors/outputs.hex", wanted);
        for (cycle = 0; cycle < {samples} + {cycles}; cycle = cycle + 1) begin
            if (cycle < {samples}) model_inp = given[cycle];
            #5;
            if (cycle >= {cycles} && (model_out !== wanted[cycle - {cycles}] || ^model_out === 1'bx))
                mismatches = mismatches + 1;
            clk = 1;
            #5;
            clk = 0;
        end
        $display("%0d mismatches in %0d samples", mismatches, {samples});
        if (mismatches != 0) $fatal(1);
        $finish;
    end
endmodule
"""


def testbench(bench: Bench) -> str:
    """Return the source of the test bench."""
    inputs, outputs = bench.widths
    return TEMPLATE.format(
        top=bench.top,
        inputs=inputs - 1,
        outputs=outputs - 1,
        last=bench.samples - 1,
        samples=bench.samples,
        cycles=bench.cycles,
        clock=".clk(clk), " if bench.cycles else "",
    )
