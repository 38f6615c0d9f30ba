"""The logic of a traced circuit, operation by operation: what the cost model of a circuit knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from alkaid.trace.passes import dead_code_elimin, fuse_ternary_adders
from alkaid.trace.passes.surrogate import add_surrogate
from alkaid.types import CombLogic, Op

from hgq2_alkaid.cost.tables import table_logic

Counts = dict[str, float]


def logic_of_operations(circuit: CombLogic) -> list[Counts]:
    """Return the logic of each operation: its bits, by kind.

    Args:
        circuit: with alkaid's own estimates, which know what additions overlap.
    """
    return [KINDS[op.opcode](circuit, op) if op.opcode in KINDS and _bits(op) else {} for op in circuit.ops]


def counts_of(circuit: CombLogic) -> Counts:
    """Return the logic of a circuit by kind, as it is written: with sums of three numbers where that saves one."""
    written = add_surrogate(dead_code_elimin(fuse_ternary_adders(circuit)), _skip_op8_cost=True)
    total: Counter[str] = Counter()
    for counts in logic_of_operations(written):
        total.update(counts)
    return dict(total)


def _bits(op: Op) -> float:
    return float(sum(op.qint.kif)) if op.qint.min < op.qint.max else 0.0


def _own(circuit: CombLogic, op: Op, place: int) -> float:
    return _bits(circuit.ops[op.addr[place]])


def _table(circuit: CombLogic, op: Op) -> Counts:
    tables = circuit.lookup_tables or ()
    entries = np.asarray(tables[op.data[0]].padded_table(circuit.ops[op.addr[0]].qint), dtype=np.float64)
    known = entries[~np.isnan(entries)]
    return table_logic(np.where(np.isnan(entries), known[-1], entries))


def _sum_of_three(circuit: CombLogic, op: Op) -> Counts:
    """Return the bits of both adders of a sum of three numbers: where two of them meet, and where all three do.

    Below that the sum is one of them, so that parts of a number that are put together cost nothing.
    """
    _, integers, fractions = op.qint.kif
    starts, ends = [], []
    for place, address in enumerate(op.addr):
        term, (positive, shift) = circuit.ops[address].qint, op.data[2 * place : 2 * place + 2]
        starts.append(shift - term.kif[2])
        # A sign goes on to the end of the sum.
        ends.append(shift + term.kif[1] if positive and term.min >= 0 else integers + 1)
    meeting = [
        sum(start <= bit < end for start, end in zip(starts, ends, strict=True))
        for bit in range(min(*starts, -fractions), integers + 1)
    ]
    top = len(meeting) - 1 + int(op.qint.min < 0)
    two, three = (next((top - n for n, here in enumerate(meeting) if here >= most), 0) for most in (2, 3))
    return {"add": float(two), "add_third": float(three)}


KINDS: Mapping[int, Callable[[CombLogic, Op], Counts]] = {
    -2: lambda circuit, op: {"negate": _bits(op)},
    0: lambda circuit, op: {"add": op.cost},
    1: lambda circuit, op: {"subtract": op.cost},
    2: lambda circuit, op: {"relu": _bits(op) * (circuit.ops[op.addr[0]].qint.min < 0)},
    4: lambda circuit, op: {"constant": _bits(op)},
    6: lambda circuit, op: {"choose": _bits(op)},
    7: lambda circuit, op: {"product": _own(circuit, op, 0) * _own(circuit, op, 1)},
    8: _table,
    9: lambda circuit, op: {"any": _own(circuit, op, 0) * (op.data[0] > 0)},
    10: lambda circuit, op: {"bitwise": _bits(op)},
    11: _sum_of_three,
}
"""For each of alkaid's operations that become logic, what of it counts."""
