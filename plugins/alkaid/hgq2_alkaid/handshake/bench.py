"""The Verilog test bench of a circuit with valid and ready: without waiting, and with both sides waiting at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FEW = 256
"""Samples with which one side alone waits."""

SIGNALS = ("in_valid", "in_ready", "in_last", "in_data", "out_valid", "out_ready", "out_last", "out_data")


@dataclass(frozen=True)
class Tested:
    """A module with valid and ready.

    Args:
        name: of the module.
        inputs: bits of a word that enters.
        outputs: bits of a word that leaves.
        beats: the words of a sample, and those of a result.
        interval: clock cycles from one sample to the next.
        cycles: clock cycles from a sample to its result.
        ports: the signal of the bench for each port of the module.
    """

    name: str
    inputs: int
    outputs: int
    beats: tuple[int, int]
    interval: int
    cycles: int
    ports: Mapping[str, str]


TEMPLATE = """`timescale 1 ns / 1 ps

// Feeds {name} all samples without waiting, which takes {interval} clock cycles each and {latency} from the first one
// to its result; with both sides waiting in half of the cycles; and a few with one side waiting in three of four.
// A sample is {beats_in} of the words that enter, and a result {beats_out} of those that leave.
module {name}_testbench;
    reg clk = 0;
    reg reset = 1;
    reg in_valid = 0;
    wire in_ready;
    wire in_last = sent % ({last_every} * {beats_in}) == {last_every} * {beats_in} - 1;
    wire [{inputs}:0] in_data = in_valid ? given[sent] : {{{width}{{1'bx}}}};
    wire out_valid;
    reg out_ready = 0;
    wire out_last;
    wire [{outputs}:0] out_data;
    wire expected_last = got % ({last_every} * {beats_out}) == {last_every} * {beats_out} - 1;
    reg [{inputs}:0] given [0:{samples} * {beats_in} - 1];
    reg [{outputs}:0] wanted [0:{samples} * {beats_out} - 1];
    reg held = 0;
    integer sent = 0, got = 0, phase = 0, samples = 0, mismatches = 0, compared = 0;
    integer cycle = 0, offered = 0, begun = 0, ended = 0, waited = 0, seed = 1;
    reg [31:0] sources = {{8'd1, 8'd4, 8'd2, 8'd4}};  // of 4 cycles, those without waiting, by phase from the lowest
    reg [31:0] sinks = {{8'd4, 8'd1, 8'd2, 8'd4}};

    {name} circuit (
        {connections}
    );

    always #5 clk = !clk;

    // A side may wait before it offers, and not after.
    reg taken = 0;
    always @(negedge clk) begin
        cycle = cycle + 1;
        if (taken || !in_valid) begin
            in_valid = !reset && sent < samples * {beats_in} && $unsigned($random(seed)) % 4 < sources[8 * phase +: 8];
            if (in_valid && sent == 0) offered = cycle;
        end
        taken <= 0;
        out_ready = $unsigned($random(seed)) % 4 < sinks[8 * phase +: 8];
    end

    always @(posedge clk) if (!reset) begin
        waited = waited + 1;
        if (held && !out_valid) mismatches = mismatches + 1;
        held = out_valid && !out_ready;
        if (out_valid && (out_data !== wanted[got] || ^out_data === 1'bx || out_last !== expected_last))
            mismatches = mismatches + 1;
        if (out_valid && out_ready) begin
            if (got == {beats_out} - 1) begun = cycle;
            ended = cycle;
            got = got + 1;
            waited = 0;
        end
        if (in_valid && in_ready) begin
            sent <= sent + 1;
            taken <= 1;
        end
        if (waited > {patience}) begin
            $display("no result for %0d cycles, in phase %0d", waited, phase);
            $display("%0d mismatches in %0d samples", mismatches + 1, compared + samples);
            $fatal(1);
        end
    end

    initial begin
        $readmemh("vectors/{files}inputs.hex", given);
        $readmemh("vectors/{files}outputs.hex", wanted);
        for (phase = 0; phase < 4; phase = phase + 1) begin
            reset = 1;
            #40;
            sent = 0;
            got = 0;
            held = 0;
            waited = 0;
            samples = phase < 2 ? {samples} : {few};
            @(negedge clk);
            #1 reset = 0;
            wait (got == samples * {beats_out});
            compared = compared + samples;
            if (phase == 0) begin
                $display("first result after %0d cycles, one every %0d cycles", begun - offered,
                    samples > 1 ? (ended - begun) / (samples - 1) : {interval});
                if (begun - offered != {latency} || ended - begun != (samples - 1) * {interval}) begin
                    $display("error: not {latency} and {interval} cycles");
                    $fatal(1);
                end
            end
            @(negedge clk);
        end
        $display("%0d mismatches in %0d samples", mismatches, compared);
        if (mismatches != 0) $fatal(1);
        $finish;
    end
endmodule
"""


HANDSHAKE_PORTS = {each: each for each in (*SIGNALS, "clk", "reset")}


def testbench(module: Tested, samples: int, last_every: int, files: str = "") -> str:
    """Return the source of the test bench.

    Args:
        module: that is tested.
        samples: number of test vectors.
        last_every: samples of which the last is marked.
        files: what the names of the vectors begin with.
    """
    return TEMPLATE.format(
        name=module.name,
        inputs=module.inputs - 1,
        width=module.inputs,
        outputs=module.outputs - 1,
        samples=samples,
        few=min(samples, FEW),
        interval=module.interval,
        latency=module.cycles,
        last_every=last_every,
        patience=1000 + 100 * (module.interval + module.cycles),
        files=files,
        beats_in=module.beats[0],
        beats_out=module.beats[1],
        connections=",\n        ".join(f".{port}({signal})" for port, signal in module.ports.items()),
    )
