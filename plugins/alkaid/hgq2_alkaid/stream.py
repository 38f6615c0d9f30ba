"""A circuit that keeps its states in registers, one step per clock cycle, and its test on streams of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hgq2_alkaid.circuit import Circuit, Floats
from hgq2_core.exporting.graph import model_inputs
from hgq2_core.exporting.host import quantize_inputs
from hgq2_core.exporting.ports import Element, Port
from hgq2_core.exporting.vectors import expected, own_inputs, words
from hgq2_core.files import write_text

STREAM = "stream"
STREAMS, STEPS = 2, 32
"""Streams of the test, with a reset in front of each, and the steps of each."""

MODULE = """`timescale 1 ns / 1 ps

// {top}, whose states are registers: a step for each clock cycle in which enable is high; reset loads 0.
module {stream} (
    input wire clk,
    input wire reset,
    input wire enable,
    input wire [{inputs}:0] stream_inp,
    output wire [{outputs}:0] stream_out
);
    reg [{states}:0] state;
    wire [{results}:0] model_out;
    wire [{states}:0] next;

    {top} circuit (.model_inp({{state, stream_inp}}), .model_out(model_out));
    assign stream_out = model_out[{outputs}:0];
{wires}
    always @(posedge clk) begin
        if (reset) state <= 0;
        else if (enable) state <= next;
    end
endmodule
"""

BENCH = """`timescale 1 ns / 1 ps

// Feeds {stream} a step per cycle, with a reset in front of each stream of {steps}, and a cycle without enable in it.
module {stream}_testbench;
    reg clk = 0;
    reg reset = 1;
    reg enable = 0;
    reg [{inputs}:0] step;
    wire [{outputs}:0] result;
    reg [{inputs}:0] given [0:{last}];
    reg [{outputs}:0] wanted [0:{last}];
    integer number;
    integer mismatches = 0;

    {stream} circuit (.clk(clk), .reset(reset), .enable(enable), .stream_inp(step), .stream_out(result));

    task cycle;
        begin
            #5 clk = 1;
            #5 clk = 0;
        end
    endtask

    initial begin
        $readmemh("vectors/{stream}_inputs.hex", given);
        $readmemh("vectors/{stream}_outputs.hex", wanted);
        for (number = 0; number <= {last}; number = number + 1) begin
            reset = number % {steps} == 0;
            enable = 0;
            step = given[number];
            cycle;
            reset = 0;
            enable = 1;
            #5;
            if (result !== wanted[number] || ^result === 1'bx) mismatches = mismatches + 1;
            cycle;
        end
        $display("%0d mismatches in %0d samples", mismatches, {last} + 1);
        if (mismatches != 0) $fatal(1);
        $finish;
    end
endmodule
"""


@dataclass(frozen=True)
class Stream:
    """The test of a circuit with registers: streams of steps, one row per step.

    Args:
        circuit: whose states the registers hold.
        inputs: of the model, on the ports' grids, without states.
        outputs: of the model, without states.
    """

    circuit: Circuit
    inputs: Floats
    outputs: Floats

    def write(self, directory: Path, top: str) -> None:
        """Write the circuit with registers, its test bench and its vectors.

        Args:
            directory: of the export.
            top: name of the circuit's module, which has no clock.
        """
        inputs, before = apart(self.circuit, self.circuit.inputs)
        outputs, _ = apart(self.circuit, self.circuit.outputs)
        names = {
            "top": top,
            "stream": STREAM,
            "inputs": bits_of(inputs) - 1,
            "outputs": bits_of(outputs) - 1,
            "states": bits_of(before) - 1,
            "results": bits_of(self.circuit.outputs) - 1,
            "wires": state_wires(self.circuit, "model_out"),
            "steps": STEPS,
            "last": STREAMS * STEPS - 1,
        }
        write_text(directory / "src" / f"{STREAM}.v", MODULE.format(**names))
        write_text(directory / "sim" / f"{STREAM}_testbench.v", BENCH.format(**names))
        for kind, values, ports in (("inputs", self.inputs, inputs), ("outputs", self.outputs, outputs)):
            write_text(directory / "vectors" / f"{STREAM}_{kind}.hex", "\n".join(words(values, ports)) + "\n")


def stream_of(model: keras.Model, circuit: Circuit, x: Any = None) -> Stream | None:
    """Return what the integers give for samples that follow each other as the steps of streams.

    Args:
        model: a frozen model.
        circuit: its circuit.
        x: inputs of the model, which come before generated ones.

    Returns:
        The test; None where no step depends on the one before.
    """
    own, before = apart(circuit, circuit.inputs)
    results, _ = apart(circuit, circuit.outputs)
    if not bits_of(before):
        return None
    steps = own_inputs(own)
    if x is not None:
        first = [np.asarray(each)[: STREAMS * STEPS] for each in model_inputs(model, x)]
        steps = [np.concatenate(pair) for pair in zip(first, steps, strict=True)]
    steps = [each[: STREAMS * STEPS] for each in steps]
    streams = [each.reshape(STREAMS, STEPS, *each.shape[1:]) for each in steps]
    states = [np.zeros((STREAMS, *port.shape)) for port in before]
    ends = np.cumsum([len(port.elements) for port in circuit.outputs])[len(results) - 1 : -1]
    outputs = []
    for number in range(STEPS):
        output, *after = np.split(expected(model, [*(each[:, number] for each in streams), *states]), ends, axis=1)
        states = [values.reshape(STREAMS, *port.shape) for values, port in zip(after, before, strict=True)]
        outputs.append(output)
    return Stream(circuit, quantize_inputs(own, steps), np.stack(outputs, axis=1).reshape(STREAMS * STEPS, -1))


def state_wires(circuit: Circuit, signal: str) -> str:
    """Return assignments that make `next`, what the registers of the states hold after a step.

    Args:
        circuit: with states.
        signal: its whole output, with the states after the step behind its results.
    """
    inputs, before = apart(circuit, circuit.inputs)
    _, after = apart(circuit, circuit.outputs)
    return "\n".join(
        f"    {_wire(result.elements[element.place], element, bits_of(inputs), signal)}"
        for result, state in zip(after, before, strict=True)
        for element in state.elements
        if element.width
    )


def apart(circuit: Circuit, ports: Sequence[Port]) -> tuple[Sequence[Port], Sequence[Port]]:
    """Return the ports of the model, and those of the states."""
    count = len(ports) - circuit.states
    return ports[:count], ports[count:]


def bits_of(ports: Sequence[Port]) -> int:
    """Return the bits of all ports."""
    return sum(port.bits for port in ports)


def _wire(source: Element, target: Element, first: int, signal: str) -> str:
    """Return the connection of a state after a step to the register that holds it, in whose format it fits."""
    low = target.offset - first
    place = f"next[{low + target.width - 1}:{low}]"
    shift = target.f - source.f
    cut = max(-shift, 0)  # zeros, as the state is a multiple of the register's step
    if source.width <= cut:
        return f"assign {place} = 0;"
    highest = source.offset + source.width - 1
    sign = f"{signal}[{highest}]" if source.k else "1'b0"
    held = source.width + shift
    extension = [f"{{{target.width - held}{{{sign}}}}}"] if held < target.width else []
    zeros = [f"{shift}'b0"] if shift > 0 else []
    return f"assign {place} = {{{', '.join([*extension, f'{signal}[{highest}:{source.offset + cut}]', *zeros])}}};"
