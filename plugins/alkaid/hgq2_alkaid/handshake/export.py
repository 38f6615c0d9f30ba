"""An export whose circuit takes and gives samples by valid and ready."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from alkaid.codegen.rtl import RTLModel
from alkaid.trace import HWConfig
from alkaid.types import CombLogic

from hgq2_alkaid.circuit import Floats, build
from hgq2_alkaid.cost.prediction import circuit_luts
from hgq2_alkaid.handshake.axi_stream import AXI_STREAM, PORTS, AxiStream
from hgq2_alkaid.handshake.bench import HANDSHAKE_PORTS, Tested, testbench
from hgq2_alkaid.handshake.board import write_board
from hgq2_alkaid.handshake.module import HANDSHAKE, Handshake, States
from hgq2_alkaid.handshake.multiplexed import Multiplexed, build_multiplexed
from hgq2_alkaid.handshake.scripts import set_top
from hgq2_alkaid.simulation.verilog import SCRIPT
from hgq2_alkaid.stream import STEPS, apart, bits_of, state_wires, stream_of
from hgq2_core.exporting.exporter import ExportReport
from hgq2_core.exporting.graph import ebops
from hgq2_core.exporting.host_files import write_host
from hgq2_core.exporting.luts import LutEstimate
from hgq2_core.exporting.ports import LayerWidths, Port, Ports
from hgq2_core.exporting.simulation import write_script
from hgq2_core.exporting.stages import stage
from hgq2_core.exporting.vectors import vectors, words
from hgq2_core.files import write_text

BLOCK, TAIL = "block", "tail"
LAST_EVERY = 7
"""Samples of the test bench of which the last is marked, where nothing depends on it."""

Project = Callable[[CombLogic, Path, str], RTLModel]


@dataclass(frozen=True)
class Logic:
    """What the module around it needs of a model's logic.

    Args:
        block: of one block of positions, or of a whole sample.
        tail: behind all blocks, or None.
        blocks: how many there are.
        inputs: the ports of the model, without states.
        outputs: the ports of the model, without states.
        layers: the widths of each layer's outputs.
        states: in registers, or None.
        given: test inputs, one row per sample.
        wanted: their outputs.
        checked: samples on which the logic was compared with the integers.
        last_every: after how many samples of the test one is the last of a stream.
        what: it is, in a sentence.
        notes: on it, for the report.
    """

    block: CombLogic
    tail: CombLogic | None
    blocks: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]
    states: States | None
    given: Floats
    wanted: Floats
    checked: int
    last_every: int
    what: str
    notes: tuple[str, ...]


def logic_of(model: keras.Model, x: Any, hwconf: HWConfig, blocks: int, wanted: tuple[int, int, int] | None) -> Logic:
    """Trace a model's logic and compare it with the integers.

    Args:
        model: a frozen model.
        x: inputs that become test vectors, or None.
        hwconf: of alkaid.
        blocks: into which the positions are divided; 1 computes a sample at once.
        wanted: (k, i, f) of all inputs; None leaves the first quantizers to the host.
    """
    return _at_once(model, x, hwconf, wanted) if blocks == 1 else _by_blocks(model, x, hwconf, blocks, wanted)


def _at_once(model: keras.Model, x: Any, hwconf: HWConfig, wanted: tuple[int, int, int] | None) -> Logic:
    circuit = build(model, hwconf, wanted)
    with stage("checking"):
        samples = vectors(model, circuit.inputs, x, wanted)
        samples.require_equal(circuit.interpret, model.name, "alkaid's circuit")
        stream = stream_of(model, circuit, x)
    inputs, before = apart(circuit, circuit.inputs)
    outputs, _ = apart(circuit, circuit.outputs)
    count = sum(len(port.elements) for port in inputs), sum(len(port.elements) for port in outputs)
    return Logic(
        block=circuit.logic,
        tail=None,
        blocks=1,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        layers=circuit.layers,
        states=None if stream is None else States(bits_of(before), state_wires(circuit, "computed")),
        given=samples.inputs[:, : count[0]] if stream is None else stream.inputs,
        wanted=samples.outputs[:, : count[1]] if stream is None else stream.outputs,
        checked=len(samples.inputs),
        last_every=LAST_EVERY if stream is None else STEPS,
        what="A whole sample at once." if stream is None else "A step at once, whose states are in registers.",
        notes=(),
    )


def _by_blocks(model: keras.Model, x: Any, hwconf: HWConfig, blocks: int, wanted: tuple[int, int, int] | None) -> Logic:
    made = build_multiplexed(model, hwconf, blocks, wanted)
    with stage("checking"):
        samples = vectors(model, made.inputs, x, wanted)
        samples.require_equal(made.interpret, model.name, "alkaid's circuit")
    return Logic(
        block=made.block,
        tail=made.tail,
        blocks=blocks,
        inputs=made.inputs,
        outputs=made.outputs,
        layers=made.layers,
        states=None,
        given=samples.inputs,
        wanted=samples.outputs,
        checked=len(samples.inputs),
        last_every=LAST_EVERY,
        what=f"A sample in {blocks} blocks of {made.repetition.positions} positions, one after the other.",
        notes=tuple(_notes(made)),
    )


def _notes(made: Multiplexed) -> list[str]:
    found = made.repetition
    whole = found.positions * found.blocks
    notes = [f"one circuit for {found.positions} of {whole} positions at a time: {', '.join(found.layers)}"]
    if made.tail is not None and found.end is not None:
        behind = [row.name for row in made.layers if row.name not in found.layers]
        notes.append(f"for all positions at once: {', '.join(behind)}; of {found.end[0]}, {found.end[1]}")
    if found.uncounted:
        notes.append(
            f"EBOPs count all positions of {', '.join(found.uncounted)}; parallelization_factor counts those that are "
            "computed at once"
        )
    return notes


class HandshakeExport:
    """One export; everything that can fail happens in the constructor, before anything is written.

    Args:
        model: a frozen model.
        x: inputs that become test vectors, or None.
        logic: of the model.
        project: makes alkaid's project of some logic, in a directory, with a name.
        kind: of the exporter.
        clock_period: in ns.
        bus: bits of the words of an AXI4-Stream; None without one.
    """

    def __init__(
        self, model: keras.Model, logic: Logic, project: Project, kind: str, clock_period: float, bus: int | None
    ) -> None:
        self.model, self.logic, self.kind, self.clock_period = model, logic, kind, clock_period
        self.top = "model" if logic.blocks == 1 else BLOCK
        self.project = project
        projects = [project(logic.block, Path(), self.top)]
        projects += [] if logic.tail is None else [project(logic.tail, Path(), TAIL)]
        self.pieces = [list(each.fsm.logic.values()) for each in projects]
        latencies = [int(each.fsm.out_signals[0].schedule.bias) for each in projects]
        self.module = Handshake(
            what=logic.what,
            inputs=bits_of(logic.inputs),
            outputs=bits_of(logic.outputs),
            blocks=logic.blocks,
            between=int(logic.block.out_kifs.sum()),
            top=self.top,
            latency=latencies[0],
            tail=None if logic.tail is None else TAIL,
            tail_latency=sum(latencies[1:]),
            states=logic.states,
        )
        self.axi = None if bus is None else AxiStream(self.module, bus)

    def report(self) -> ExportReport:
        """Return the report."""
        logic, module, outside = self.logic, self.module, self.module if self.axi is None else self.axi
        parts = [logic.block, *([] if logic.tail is None else [logic.tail])]
        registers = module.latency + module.tail_latency > 0
        timing = (
            f"initiation interval {outside.interval} clock cycles, latency {outside.cycles} clock cycles from a sample "
            "to its result"
        )
        return ExportReport(
            exporter=self.kind,
            path=None,
            ebops=ebops(self.model),
            cost=sum(piece.cost for pieces in self.pieces for piece in pieces),
            latency=sum(each.latency[1] for each in parts),
            stages=sum(map(len, self.pieces)) if registers else 0,
            checked=logic.checked,
            inputs=logic.inputs,
            outputs=logic.outputs,
            layers=logic.layers,
            notes=(timing, *logic.notes),
            luts=_together([circuit_luts(each) for each in parts]),
            cycles=outside.cycles,
            clock_period=self.clock_period,
        )

    def ports(self) -> Ports:
        """Return the description of the ports for a host."""
        inputs, outputs = self.logic.inputs, self.logic.outputs
        if self.axi is None:
            signals = {"in_data": self.module.inputs, "out_data": self.module.outputs}
            return Ports(inputs=inputs, outputs=outputs, top=HANDSHAKE, cycles=self.module.cycles, signals=signals)
        signals = {"s_axis_tdata": self.axi.bus, "m_axis_tdata": self.axi.bus}
        return Ports(inputs=inputs, outputs=outputs, top=AXI_STREAM, cycles=self.axi.cycles, signals=signals)

    def write(self, directory: Path) -> None:
        """Write all files."""
        logic, module = self.logic, self.module
        self.project(logic.block, directory, self.top).write()
        if logic.tail is not None:
            with tempfile.TemporaryDirectory() as folder:
                self.project(logic.tail, Path(folder), TAIL).write()
                write_text(directory / "src" / f"{TAIL}.v", _renamed(Path(folder) / "src"))
        write_text(directory / "src" / f"{HANDSHAKE}.v", module.source())
        write_host(directory, self.ports())
        (directory / "vectors").mkdir()
        given, wanted = words(logic.given, logic.inputs), words(logic.wanted, logic.outputs)
        self._write_vectors(directory, "", given, wanted)
        tested = Tested(
            HANDSHAKE, module.inputs, module.outputs, (1, 1), module.interval, module.cycles, HANDSHAKE_PORTS
        )
        self._write_bench(directory, tested)
        if self.axi is not None:
            axi, beats = self.axi, self.axi.beats
            write_text(directory / "src" / f"{AXI_STREAM}.v", axi.source())
            split = [_beats(each, count, axi.bus) for each, count in zip((given, wanted), beats, strict=True)]
            self._write_vectors(directory, f"{AXI_STREAM}_", *split)
            tested = Tested(AXI_STREAM, axi.bus, axi.bus, beats, axi.interval, axi.cycles, PORTS)
            self._write_bench(directory, tested, f"{AXI_STREAM}_")
            write_board(directory)
        set_top(directory, self.top, tested.name, tested.ports, self.clock_period)
        write_script(directory, SCRIPT)

    def _write_vectors(self, directory: Path, name: str, given: Sequence[str], wanted: Sequence[str]) -> None:
        write_text(directory / "vectors" / f"{name}inputs.hex", "\n".join(given) + "\n")
        write_text(directory / "vectors" / f"{name}outputs.hex", "\n".join(wanted) + "\n")

    def _write_bench(self, directory: Path, tested: Tested, files: str = "") -> None:
        source = testbench(tested, len(self.logic.given), self.logic.last_every, files)
        write_text(directory / "sim" / f"{tested.name}_testbench.v", source)


def _together(luts: Sequence[LutEstimate]) -> LutEstimate:
    low, high = sum(each.low for each in luts), sum(each.high for each in luts)
    return LutEstimate(sum(each.luts for each in luts), low, high, (), luts[0].remark)


def _beats(samples: Sequence[str], count: int, bus: int) -> list[str]:
    """Return the words of each sample on a bus, in hexadecimal, the lowest first."""
    numbers = [int(sample, 16) for sample in samples]
    return [f"{number >> bus * beat & (1 << bus) - 1:0{bus // 4}x}" for number in numbers for beat in range(count)]


def _renamed(folder: Path) -> str:
    """Return the sources of the tail as one, whose modules have names of their own."""
    files = [path for path in sorted(folder.glob("*.v")) if path.stem != f"{TAIL}_wrapper"]
    text = "\n".join(path.read_text() for path in files)
    names = set(re.findall(r"^module (\w+)", text, re.MULTILINE)) - {TAIL}
    return re.sub(r"\b(" + "|".join(map(re.escape, names)) + r")\b", rf"{TAIL}_\1", text) if names else text
