"""What each layer has of a circuit: cost, LUTs, and when its outputs are ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alkaid.trace import FVariable, trace
from alkaid.trace.passes import optimize
from alkaid.trace.passes.surrogate import add_surrogate
from alkaid.types import CombLogic

from hgq2_alkaid.cost.circuit import logic_of_operations
from hgq2_alkaid.cost.coefficients import coefficients


@dataclass(frozen=True)
class LayerCost:
    """What a layer has of a circuit.

    Args:
        share: of the circuit's LUTs.
        starts: when the last of its inputs is ready, in alkaid's unit of latency.
        ready: when the last of its outputs is.
    """

    share: float
    starts: float
    ready: float


def by_layer(inputs: Sequence[FVariable], layers: Sequence[Sequence[Any]], circuit: CombLogic) -> list[LayerCost]:
    """Divide a circuit among layers: each has the operations that its outputs need and those before it do not.

    Args:
        inputs: the circuit's.
        layers: the outputs of each, in an order in which none needs a later one; constants may be among them.
        circuit: the optimized circuit, whose latency the times are scaled to.
    """
    outputs = [[each for each in layer if isinstance(each, FVariable) and each.low < each.high] for layer in layers]
    flat = [each for layer in outputs for each in layer]
    if not flat:
        return [LayerCost(0.0, 0.0, 0.0) for _ in layers]
    whole = add_surrogate(
        optimize(trace(inputs, flat, optimize=False), surrogate=False, retrace=False), _skip_op8_cost=True
    )
    luts = [coefficients().circuit.of(counts) for counts in logic_of_operations(whole)]
    total, last = sum(luts) or 1.0, max(op.latency for op in whole.ops)
    scale = circuit.latency[1] / last if last else 1.0
    owned: set[int] = set()
    found, place = [], 0
    for layer in outputs:
        ends = [int(each) for each in whole.out_idxs[place : place + len(layer)] if each >= 0]
        place += len(layer)
        own = _reached(whole, ends, owned)
        before = {address for each in own for address in whole.ops[each].addr if address not in own}
        owned |= own
        starts, ready = (
            scale * max((whole.ops[each].latency for each in part), default=0.0) for part in (before, ends)
        )
        found.append(LayerCost(sum(luts[each] for each in own) / total, min(starts, ready), ready))
    return found


def _reached(circuit: CombLogic, ends: Sequence[int], owned: set[int]) -> set[int]:
    """Return the operations that lead to some, without those that are owned, and what leads to those."""
    found: set[int] = set()
    waiting = list(ends)
    while waiting:
        each = waiting.pop()
        if each not in owned and each not in found:
            found.add(each)
            waiting += circuit.ops[each].addr
    return found
