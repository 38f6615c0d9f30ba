"""The Verilog module around a circuit that takes and gives samples by valid and ready, one block at a time."""

from __future__ import annotations

from dataclasses import dataclass

HANDSHAKE = "handshake"

TEMPLATE = """`timescale 1 ns / 1 ps

// {what}
// A sample is taken in a clock cycle in which in_valid and in_ready are high, and given where out_valid and out_ready
// are; in_data stays until it is taken. last goes with its sample{states_end}.
module {name} (
    input wire clk,
    input wire reset,
    input wire in_valid,
    output wire in_ready,
    input wire in_last,
    input wire [{inputs}:0] in_data,
    output wire out_valid,
    input wire out_ready,
    output wire out_last,
    output wire [{outputs}:0] out_data
);
    // What enters: samples begun and not yet given are at most {depth}, as many as the results' places.
    reg [{turn}:0] turn;
    reg [{places}:0] begun;
    wire opens = turn == 0;
    wire closes = turn == {blocks} - 1;
    wire step = in_valid && (!opens || begun < {depth}){idle};
    wire given = out_valid && out_ready;
    assign in_ready = step && closes;

    always @(posedge clk) begin
        if (reset) begin
            turn <= 0;
            begun <= 0;
        end else begin
            if (step) turn <= closes ? 0 : turn + 1;
            begun <= begun + (step && opens) - given;
        end
    end

    // What is computed: {cycles} clock cycles later than it enters.
{circuit}
    // What leaves.
    wire done = {done};
    reg [{outputs} + 1:0] results [0:{depth} - 1];
    reg [{places}:0] waiting;
    reg [{places}:0] write;
    reg [{places}:0] read;
    assign out_valid = waiting != 0;
    assign {{out_last, out_data}} = results[read];

    always @(posedge clk) begin
        if (reset) begin
            waiting <= 0;
            write <= 0;
            read <= 0;
        end else begin
            waiting <= waiting + done - given;
            if (done) write <= write == {depth} - 1 ? 0 : write + 1;
            if (given) read <= read == {depth} - 1 ? 0 : read + 1;
        end
        if (done) results[write] <= {{{last}, result}};
    end
endmodule
"""


@dataclass(frozen=True)
class States:
    """Registers that hold the states of a circuit from step to step.

    Args:
        bits: of all states.
        wires: assignments that make `next` of `computed`.
    """

    bits: int
    wires: str


@dataclass(frozen=True)
class Handshake:
    """A circuit that takes and gives samples by valid and ready.

    Args:
        what: it is, a sentence for the source.
        inputs: bits of a sample.
        outputs: bits of a result.
        blocks: into which a sample is divided, N.
        between: bits that the circuit of a block gives; the states after a step are behind the results.
        top: name of that circuit's module.
        latency: clock cycles of that circuit.
        tail: name of the module from all blocks to the result; None where there is none.
        tail_latency: its clock cycles.
        states: that the circuit keeps from step to step, None without; only where there is one block.
    """

    what: str
    inputs: int
    outputs: int
    blocks: int
    between: int
    top: str
    latency: int
    tail: str | None = None
    tail_latency: int = 0
    states: States | None = None

    @property
    def interval(self) -> int:
        """Clock cycles from one sample to the next, where nobody waits."""
        return self.latency + 1 if self.states else self.blocks

    @property
    def cycles(self) -> int:
        """Clock cycles from a sample that is offered to its result."""
        return self.blocks + self.latency + self.tail_latency

    @property
    def depth(self) -> int:
        """Samples inside that keep it busy: as many as begin before the first is given, and one."""
        return -(-(self.latency + self.tail_latency + 1) // self.interval) + 1

    def source(self) -> str:
        """Return the module in Verilog."""
        moves, arrived = _delayed("moves", "step", self.latency)
        ends, end = _delayed("ends", "step && closes", self.latency + self.tail_latency)
        lasts, last = _delayed("lasts", "in_last", self.latency + self.tail_latency)
        idle = " && !(|moves)" if self.states and self.latency else ""
        return TEMPLATE.format(
            what=self.what,
            name=HANDSHAKE,
            states_end=", and behind it the states are 0 again" if self.states else "",
            inputs=self.inputs - 1,
            outputs=self.outputs - 1,
            depth=self.depth,
            turn=max((self.blocks - 1).bit_length(), 1) - 1,
            places=self.depth.bit_length() - 1,
            blocks=self.blocks,
            idle=idle,
            cycles=self.latency + self.tail_latency,
            circuit="\n".join([*moves, *ends, *lasts, *self._circuit(arrived)]),
            done=end,
            last=last,
        )

    def _circuit(self, arrived: str) -> list[str]:
        width = self.inputs // self.blocks
        entering = "in_data" if self.blocks == 1 else f"in_data[turn * {width} +: {width}]"
        if self.states:
            entering = f"{{state, {entering}}}"
        clock = ".clk(clk), " if self.latency else ""
        lines = [
            f"    wire [{self.between - 1}:0] computed;",
            f"    {self.top} circuit ({clock}.model_inp({entering}), .model_out(computed));",
        ]
        if self.states:
            lines = [f"    reg [{self.states.bits - 1}:0] state;", *lines, *self._registers(arrived)]
        sample = "computed"
        if self.blocks > 1:
            held = self.between * (self.blocks - 1)
            kept = "computed" if self.blocks == 2 else f"{{computed, collected[{held - 1}:{self.between}]}}"
            lines += [
                f"    reg [{held - 1}:0] collected;  // the blocks before",
                f"    always @(posedge clk) if ({arrived}) collected <= {kept};",
            ]
            sample = "{computed, collected}"
        lines.append(f"    wire [{self.outputs - 1}:0] result;")
        if self.tail is None:
            taken = f"computed[{self.outputs - 1}:0]" if self.blocks == 1 else sample
            return [*lines, f"    assign result = {taken};", ""]
        clock = ".clk(clk), " if self.tail_latency else ""
        return [*lines, f"    {self.tail} behind ({clock}.model_inp({sample}), .model_out(result));", ""]

    def _registers(self, arrived: str) -> list[str]:
        assert self.states is not None
        last = f"lasts[{self.latency - 1}]" if self.latency else "in_last"
        return [
            f"    wire [{self.states.bits - 1}:0] next;",
            self.states.wires,
            f"    always @(posedge clk) if (reset) state <= 0; else if ({arrived}) state <= {last} ? 0 : next;",
        ]


def _delayed(name: str, source: str, cycles: int) -> tuple[list[str], str]:
    """Return the registers that delay a signal, and its name behind them."""
    if not cycles:
        return [], source
    held = f"{{{name}, {source}}}" if cycles > 1 else source
    lines = [
        f"    reg [{cycles - 1}:0] {name};",
        f"    always @(posedge clk) {name} <= reset ? 0 : {held};",
    ]
    return lines, f"{name}[{cycles - 1}]"
