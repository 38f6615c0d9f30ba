"""The Verilog module that takes samples and gives results as words of an AXI4-Stream."""

from __future__ import annotations

from dataclasses import dataclass

from hgq2_alkaid.handshake.module import HANDSHAKE, Handshake

AXI_STREAM = "axi_stream"

PORTS = {
    "aclk": "clk",
    "aresetn": "!reset",
    "s_axis_tvalid": "in_valid",
    "s_axis_tready": "in_ready",
    "s_axis_tlast": "in_last",
    "s_axis_tdata": "in_data",
    "m_axis_tvalid": "out_valid",
    "m_axis_tready": "out_ready",
    "m_axis_tlast": "out_last",
    "m_axis_tdata": "out_data",
}

TEMPLATE = """`timescale 1 ns / 1 ps

// {handshake} as an AXI4-Stream: a sample is {beats_in} words of {bus} bits and a result {beats_out}, the lowest bits
// first, filled up with zeros. tlast goes from the last word of a sample to the last one of its result.
module {name} (
    input wire aclk,
    input wire aresetn,
    input wire s_axis_tvalid,
    output wire s_axis_tready,
    input wire [{high}:0] s_axis_tdata,
    input wire s_axis_tlast,
    output wire m_axis_tvalid,
    input wire m_axis_tready,
    output wire [{high}:0] m_axis_tdata,
    output wire m_axis_tlast
);
    wire reset = !aresetn;

    // Words to a sample.
    reg [{bits_in}:0] sample;
    reg [{count_in}:0] place;
    reg full;
    reg sample_last;
    wire sample_ready;
    assign s_axis_tready = !full || sample_ready;
    wire enters = s_axis_tvalid && s_axis_tready;
    wire complete = place == {beats_in} - 1;

    always @(posedge aclk) begin
        if (enters) begin
            sample <= {shifted_in};
            sample_last <= s_axis_tlast;
        end
        if (reset) begin
            place <= 0;
            full <= 0;
        end else begin
            if (enters) place <= complete ? 0 : place + 1;
            if (enters && complete) full <= 1;
            else if (sample_ready) full <= 0;
        end
    end

    wire result_valid, result_ready, result_last;
    wire [{outputs}:0] result;
    {handshake} computed (
        .clk(aclk), .reset(reset),
        .in_valid(full), .in_ready(sample_ready), .in_last(sample_last), .in_data(sample[{inputs}:0]),
        .out_valid(result_valid), .out_ready(result_ready), .out_last(result_last), .out_data(result)
    );

    // A result to words.
    reg [{bits_out}:0] words;
    reg [{count_out}:0] left;
    reg words_last;
    wire leaves = m_axis_tvalid && m_axis_tready;
    assign m_axis_tvalid = left != 0;
    assign m_axis_tdata = words[{high}:0];
    assign m_axis_tlast = words_last && left == 1;
    assign result_ready = left == 0 || (left == 1 && m_axis_tready);

    always @(posedge aclk) begin
        if (result_valid && result_ready) begin
            words <= result;
            words_last <= result_last;
        end else if (leaves) words <= words >> {bus};
        if (reset) left <= 0;
        else if (result_valid && result_ready) left <= {beats_out};
        else if (leaves) left <= left - 1;
    end
endmodule
"""


@dataclass(frozen=True)
class AxiStream:
    """A circuit with valid and ready as an AXI4-Stream.

    Args:
        inside: the circuit.
        bus: bits of a word.
    """

    inside: Handshake
    bus: int

    @property
    def beats(self) -> tuple[int, int]:
        """Words of a sample, and of a result."""
        return -(-self.inside.inputs // self.bus), -(-self.inside.outputs // self.bus)

    @property
    def interval(self) -> int:
        """Clock cycles from one sample to the next: a sample stays until its last block has been computed."""
        return max(self.beats[0] + self.inside.blocks - 1, self.inside.interval, self.beats[1])

    @property
    def cycles(self) -> int:
        """Clock cycles from the first word of a sample to the last one of its result."""
        return sum(self.beats) + self.inside.cycles

    def source(self) -> str:
        """Return the module in Verilog."""
        beats_in, beats_out = self.beats
        wide = beats_in * self.bus
        return TEMPLATE.format(
            name=AXI_STREAM,
            handshake=HANDSHAKE,
            bus=self.bus,
            high=self.bus - 1,
            beats_in=beats_in,
            beats_out=beats_out,
            bits_in=wide - 1,
            bits_out=beats_out * self.bus - 1,
            count_in=max((beats_in - 1).bit_length(), 1) - 1,
            count_out=beats_out.bit_length() - 1,
            shifted_in="s_axis_tdata" if beats_in == 1 else f"{{s_axis_tdata, sample[{wide - 1}:{self.bus}]}}",
            inputs=self.inside.inputs - 1,
            outputs=self.inside.outputs - 1,
        )
