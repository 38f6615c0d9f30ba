"""A frozen model as a circuit: its exact arithmetic, traced layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from alkaid.trace import FVariable, HWConfig, trace
from alkaid.trace.passes import optimize
from alkaid.types import CombLogic

from hgq2_alkaid.arrays import HardwareArrays, Operand
from hgq2_alkaid.cost.by_layer import LayerCost, by_layer
from hgq2_core.errors import ExactnessError
from hgq2_core.exporting.errors import named
from hgq2_core.exporting.graph import interpret, output_names, require_stated_masks, run
from hgq2_core.exporting.host import quantize_inputs
from hgq2_core.exporting.inputs import Format, HostInputs
from hgq2_core.exporting.ports import LayerWidths, Port, ports_of
from hgq2_core.exporting.stages import stage
from hgq2_core.layers.states import CarriedStates

Floats = npt.NDArray[np.float64]

TRACED_BITS = 53
"""Precision of the floats in which alkaid keeps the bounds of numbers."""


@dataclass(frozen=True)
class Circuit:
    """The circuit of a model.

    Args:
        logic: alkaid's combinational logic from all inputs to all outputs, flattened and concatenated.
        inputs: the model's inputs, and behind them the states, `state_n_in`, that its layers keep from call to call.
        outputs: the model's outputs, and behind them the states after the call, `state_n_out`, in the same order.
        layers: the widths of each layer's outputs.
        costs: what each layer has of the circuit, in the same order; empty where nothing was estimated.
        states: how many states there are.
    """

    logic: CombLogic
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]
    costs: tuple[LayerCost, ...]
    states: int

    def quantize_inputs(self, x: Sequence[Any]) -> Floats:
        """Return inputs quantized to the formats of the ports, which is the host's part.

        Args:
            x: one array per input of the model and per state, samples first.

        Returns:
            Values on the ports' grids, one row per sample, inputs concatenated.
        """
        return quantize_inputs(self.inputs, x)

    def interpret(self, values: Floats) -> Floats:
        """Return the outputs of the circuit, one row per sample."""
        return np.asarray(self.logic.predict(np.ascontiguousarray(values)))


def build(
    model: keras.Model, hwconf: HWConfig, input_format: tuple[int, int, int] | None = None, *, estimate: bool = True
) -> Circuit:
    """Trace a model into a circuit, without writing anything.

    Args:
        model: a frozen model.
        hwconf: alkaid's adder size, carry size and latency cutoff.
        input_format: (k, i, f) of all inputs, which the circuit then quantizes; None leaves the first quantizers to the
            host and takes their formats.
        estimate: whether to estimate cost and latency, which takes most of the time for large tables.

    Raises:
        ExactnessError: a layer has no exact arithmetic or no circuit, or takes an implicit mask.
    """
    require_stated_masks(model)
    inputs = HostInputs(model.inputs)
    arrays = HardwareArrays(hwconf, inputs)
    starts = [_start(arrays, each, inputs.start(number, input_format)) for number, each in enumerate(inputs.raw())]
    traced: list[tuple[str, list[Any]]] = []
    states: CarriedStates[Operand] = CarriedStates(inputs.add_state)
    step = interpret(arrays, states)

    def apply(layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with named(path), stage("tracing", path):
            output = step(layer, path, args, kwargs)
        traced.append((path, [x for each in keras.tree.flatten(output) for x in each.ravel()]))
        return output

    results = run(model, starts, apply)
    with named(model.name):
        outputs = [arrays.variables(result) for result in (*results, *states.flat())]
    given = [arrays.entered(entry) for entry in inputs.entries()]
    with stage("optimizing"):
        logic = optimize(trace(given, [v for o in outputs for v in o.ravel()], optimize=False), surrogate=estimate)
    names = zip(output_names(model), model.outputs, strict=True)
    resolved = [(path, [arrays.resolved(x) for x in elements]) for path, elements in traced]
    costs = by_layer(given, [elements for _, elements in resolved], logic) if estimate else []
    named_outputs = [(name, tensor.shape[1:], tensor.dtype) for name, tensor in names]
    circuit = Circuit(
        logic,
        inputs.ports(logic.inp_kifs.T),
        ports_of([*named_outputs, *inputs.state_outputs()], logic.out_kifs.T),
        tuple(widths_of(path, elements) for path, elements in resolved),
        tuple(costs),
        inputs.states,
    )
    _check(circuit, model.name)
    return circuit


def _start(arrays: HardwareArrays, raw: Operand, format: Format | None) -> Operand:
    return raw if format is None else arrays.quantize(raw, *format)


def require_traced(logic: CombLogic, name: str) -> None:
    """Refuse logic whose numbers have more bits than alkaid traces exactly.

    Args:
        logic: of a model.
        name: of the model, for the message.

    Raises:
        ExactnessError: a number has more.
    """
    widest = max(sum(op.qint.kif) for op in logic.ops)
    if widest > TRACED_BITS:
        raise ExactnessError(f"{name}: a number in it needs {widest} bits, and alkaid's tracing holds {TRACED_BITS}.")


def _check(circuit: Circuit, name: str) -> None:
    require_traced(circuit.logic, name)
    own = (ports[: len(ports) - circuit.states] for ports in (circuit.inputs, circuit.outputs))
    if not all(sum(port.bits for port in ports) for ports in own):
        raise ExactnessError(f"{name}: its outputs are constant, whatever the inputs are; there is no circuit to make.")


def widths_of(path: str, elements: Sequence[Any]) -> LayerWidths:
    """Return the widths of a layer's outputs, which are traced variables or constants."""
    bits = [sum(x.kif) if isinstance(x, FVariable) and x.low < x.high else 0 for x in elements]
    return LayerWidths(path, len(bits), max(bits, default=0), sum(bits))
