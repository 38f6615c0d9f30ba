"""Draw the circuit of a tiny network as an SVG file: each operation by when its result is there, and the registers.

Run it from the root of the repository: `python docs/figures/circuit.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from math import ceil
from pathlib import Path

import hgq2_core  # isort: skip  # before Keras: it picks the backend
import keras
import numpy as np
from alkaid.trace import HWConfig
from alkaid.types import CombLogic
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from hgq2_alkaid.circuit import build
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from style import BLUE, GREEN, STYLE, TEXT, save  # noqa: E402

LATENCY_CUTOFF = 2.0
"""Units of delay between registers, at most."""
LOOKS = {
    -1: ("x", TEXT),
    0: ("+", BLUE),
    1: ("−", BLUE),
    2: ("relu", GREEN),
    4: ("+ c", BLUE),
    11: ("Σ", BLUE),
}
"""A sign and a colour for each of alkaid's operations."""
CUT = 3
"""To cut bits is wires alone, which are not drawn."""


def network() -> CombLogic:
    """Return the logic of a calibrated network of 4 inputs, 3 hidden units and 2 outputs."""
    keras.utils.set_random_seed(9)
    weight = KBI(b=3, i=1, overflow_mode="SAT_SYM")
    activation = KIF(k=1, i=1, f=2, overflow_mode="WRAP")
    with hgq2_core.defaults(weight=weight, bias=weight, activation=activation):
        layers = [keras.Input((4,)), QDense(3, activation="relu"), QDense(2)]
        model = keras.Sequential(layers)
    x = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    hgq2_core.calibrate(model, x)
    return build(hgq2_core.freeze(model), HWConfig(1, -1, LATENCY_CUTOFF)).logic


def reads(logic: CombLogic) -> dict[int, list[int]]:
    """Return the operations on which an output depends, in order, and what each reads, without wires in between."""

    def behind_wires(each: int) -> int:
        while logic.ops[each].opcode == CUT:
            (each,) = logic.ops[each].addr
        return each

    found: dict[int, list[int]] = {}
    waiting = [behind_wires(each) for each in logic.out_idxs]
    while waiting:
        if (each := waiting.pop()) not in found:
            found[each] = [behind_wires(other) for other in logic.ops[each].addr]
            waiting += found[each]
    return dict(sorted(found.items()))


def stages(logic: CombLogic, shown: Iterable[int]) -> dict[int, int]:
    """Return the clock cycle of each operation, as alkaid splits a pipeline: equal parts of the latency."""
    latest = max(op.latency for op in logic.ops)
    ends = np.linspace(0, latest, max(ceil(latest / LATENCY_CUTOFF), 1) + 1)[1:]
    return {each: int(np.searchsorted(ends, logic.ops[each].latency)) for each in shown}


def places(shown: dict[int, list[int]], stage: dict[int, int]) -> dict[int, tuple[float, float]]:
    """Return where each operation is drawn: behind what it reads, in the columns of its stage, near the mean height."""
    column: dict[int, int] = {}
    for each in sorted(shown, key=lambda each: (stage[each], each)):
        before = [column[other] for other in shown if stage[other] < stage[each]]
        column[each] = 1 + max([*(column[other] for other in shown[each]), *before], default=-1)
    found: dict[int, tuple[float, float]] = {}
    for x in range(max(column.values()) + 1):
        members = [each for each in shown if column[each] == x]
        height = {each: np.mean([found[other][1] for other in shown[each]] or [-each]) for each in members}
        for row, each in enumerate(sorted(members, key=lambda each: -height[each])):
            found[each] = (float(x), (len(members) - 1) / 2 - row)
    return found


def draw(axes: Axes, logic: CombLogic) -> None:
    """Draw the operations, what each reads, the bits of each result, and the registers."""
    shown = reads(logic)
    stage = stages(logic, shown)
    at = places(shown, stage)
    top = max(y for _, y in at.values()) + 0.8
    for each in shown:
        x, y = at[each]
        sign, colour = LOOKS[logic.ops[each].opcode]
        for other in shown[each]:
            axes.plot([at[other][0], x], [at[other][1], y], color=TEXT, linewidth=0.9, alpha=0.55, zorder=1)
        axes.plot(x, y, "o", color=colour, markersize=20, zorder=2)
        axes.text(x, y, sign, ha="center", va="center", color="white", fontsize=7.5, zorder=3)
        axes.text(x, y - 0.4, f"{sum(logic.ops[each].qint.kif)}", ha="center", va="center", fontsize=8)
    for cycle in range(max(stage.values()) + 1):
        columns = [at[each][0] for each in shown if stage[each] == cycle]
        axes.text((min(columns) + max(columns)) / 2, top, f"clock cycle {cycle + 1}", ha="center")
        if cycle < max(stage.values()):
            axes.axvline(max(columns) + 0.5, 0.02, 0.94, color=TEXT, linestyle="--", linewidth=1.2)
    axes.margins(0.06)
    axes.set_axis_off()


def main(path: Path) -> None:
    """Write the picture."""
    logic = network()
    with plt.rc_context({**STYLE, "svg.hashsalt": "circuit"}):
        figure, axes = plt.subplots(figsize=(7.5, 3.6))
        draw(axes, logic)
        save(figure, path, "The circuit of a small network: adders between inputs and outputs")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "circuit.svg")
