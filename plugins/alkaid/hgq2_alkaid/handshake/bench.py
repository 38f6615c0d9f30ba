"""The Verilog test bench of a circuit with valid and ready: without waiting, and with both sides waiting at random."""

from __future__ import annotations

FEW = 256
"""Samples with which one side alone waits."""

TEMPLATE = """`timescale 1 ns / 1 ps

// Feeds {name} all samples without waiting, which takes {interval} clock cycles each and {latency} from the first one
// to its result; with both sides waiting in half of the cycles; and a few with one side waiting in three of four.
module {name}_testbench;
    reg clk = 0;
    reg reset = 1;
    reg in_valid = 0;
    wire in_ready;
    wire in_last = sent % {last_every} == {last_every} - 1;
    wire [{inputs}:0] in_data = in_valid ? given[sent] : {{{width}{{1'bx}}}};
    wire out_valid;
    reg out_ready = 0;
    wire out_last;
    wire [{outputs}:0] out_data;
    reg [{inputs}:0] given [0:{samples}];
    reg [{outputs}:0] wanted [0:{samples}];
    reg held = 0;
    integer sent = 0, got = 0, phase = 0, samples = 0, mismatches = 0, compared = 0;
    integer cycle = 0, offered = 0, begun = 0, ended = 0, waited = 0, seed = 1;
    reg [31:0] sources = {{8'd1, 8'd4, 8'd2, 8'd4}};  // of 4 cycles, those without waiting, by phase from the lowest
    reg [31:0] sinks = {{8'd4, 8'd1, 8'd2, 8'd4}};

    {name} circuit (
        .clk(clk), .reset(reset), .in_valid(in_valid), .in_ready(in_ready), .in_last(in_last), .in_data(in_data),
        .out_valid(out_valid), .out_ready(out_ready), .out_last(out_last), .out_data(out_data)
    );

    always #5 clk = !clk;

    // A side may wait before it offers, and not after.
    reg taken = 0;
    always @(negedge clk) begin
        cycle = cycle + 1;
        if (taken || !in_valid) begin
            in_valid = !reset && sent < samples && $unsigned($random(seed)) % 4 < sources[8 * phase +: 8];
            if (in_valid && sent == 0) offered = cycle;
        end
        taken <= 0;
        out_ready = $unsigned($random(seed)) % 4 < sinks[8 * phase +: 8];
    end

    always @(posedge clk) if (!reset) begin
        waited = waited + 1;
        if (held && !out_valid) mismatches = mismatches + 1;
        held = out_valid && !out_ready;
        if (out_valid && (out_data !== wanted[got] || ^out_data === 1'bx
            || out_last !== (got % {last_every} == {last_every} - 1)))
            mismatches = mismatches + 1;
        if (out_valid && out_ready) begin
            if (got == 0) begun = cycle;
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
            samples = phase < 2 ? {samples} + 1 : {few};
            @(negedge clk);
            #1 reset = 0;
            wait (got == samples);
            compared = compared + got;
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


def testbench(
    name: str, inputs: int, outputs: int, samples: int, interval: int, latency: int, last_every: int, files: str = ""
) -> str:
    """Return the source of the test bench.

    Args:
        name: of the module.
        inputs: bits of a sample.
        outputs: bits of a result.
        samples: number of test vectors.
        interval: clock cycles from one sample to the next.
        latency: clock cycles from a sample to its result.
        last_every: samples of which the last is marked.
        files: what the names of the vectors begin with.
    """
    return TEMPLATE.format(
        name=name,
        inputs=inputs - 1,
        width=inputs,
        outputs=outputs - 1,
        samples=samples - 1,
        few=min(samples, FEW),
        interval=interval,
        latency=latency,
        last_every=last_every,
        patience=1000 + 100 * (interval + latency),
        files=files,
    )
