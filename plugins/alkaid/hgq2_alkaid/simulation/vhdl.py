"""The VHDL test bench that compares a circuit with its test vectors, and the script that runs it."""

from __future__ import annotations

from hgq2_alkaid.simulation.bench import Bench

SCRIPT = """#!/bin/sh
# Compares the circuit with its test vectors, in GHDL.
set -e
cd "$(dirname "$0")/sim"
ghdl -i --std=08 ../src/*.vhd ../src/static/*.vhd testbench.vhd
ghdl -m --std=08 testbench
# The registers of a pipeline are undefined until its first results, which the bench waits for.
ghdl -r --std=08 testbench --ieee-asserts=disable
"""

TEMPLATE = """-- Feeds {top} one input per cycle, and compares each output {cycles} cycles later.
library ieee;
use ieee.std_logic_1164.all;
use std.env.all;
use std.textio.all;

entity testbench is
end entity testbench;

architecture bench of testbench is
    signal clk: std_logic := '0';
    signal model_inp: std_logic_vector({inputs} downto 0);
    signal model_out: std_logic_vector({outputs} downto 0);
begin
    circuit: entity work.{top} port map ({clock}model_inp => model_inp, model_out => model_out);

    process
        file given: text open read_mode is "../vectors/inputs.hex";
        file wanted: text open read_mode is "../vectors/outputs.hex";
        variable row: line;
        variable sample: std_logic_vector({inputs} downto 0);
        variable result: std_logic_vector({outputs} downto 0);
        variable mismatches: natural := 0;
    begin
        for cycle in 0 to {last} loop
            if cycle < {samples} then
                readline(given, row);
                hread(row, sample);
                model_inp <= sample;
            end if;
            wait for 5 ns;
            if cycle >= {cycles} then
                readline(wanted, row);
                hread(row, result);
                if model_out /= result then
                    mismatches := mismatches + 1;
                end if;
            end if;
            clk <= '1';
            wait for 5 ns;
            clk <= '0';
        end loop;
        write(output, integer'image(mismatches) & " mismatches in {samples} samples" & LF);
        if mismatches /= 0 then
            finish(1);
        end if;
        finish;
    end process;
end architecture bench;
"""


def testbench(bench: Bench) -> str:
    """Return the source of the test bench."""
    inputs, outputs = bench.widths
    return TEMPLATE.format(
        top=bench.top,
        inputs=inputs - 1,
        outputs=outputs - 1,
        last=bench.samples + bench.cycles - 1,
        samples=bench.samples,
        cycles=bench.cycles,
        clock="clk => clk, " if bench.cycles else "",
    )
