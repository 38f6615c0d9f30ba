"""The logic of a traced circuit, operation by operation: what the cost model of a circuit knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from alkaid.types import CombLogic, Op

from hgq2_alkaid.cost.operations import table_logic

Counts = dict[str, float]


def logic_of_operations(circuit: CombLogic) -> list[Counts]:
    """Return the logic of each operation: its bits, by kind.

    Args:
        circuit: with alkaid's own estimates, which know what additions overlap.
    """
    return [KINDS[op.opcode](circuit, op) if op.opcode in KINDS and _bits(op) else {} for op in circuit.ops]


def counts_of(circuit: CombLogic) -> Counts:
    """Return the logic of a circuit by kind."""
    total: Counter[str] = Counter()
    for counts in logic_of_operations(circuit):
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
    11: lambda circuit, op: {"add_three": op.cost},
}
"""For each of alkaid's operations that become logic, what of it counts."""
