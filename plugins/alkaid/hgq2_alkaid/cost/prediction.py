"""LUTs of a model from its weights and bits, layer by layer."""

from __future__ import annotations

import keras
from alkaid.types import CombLogic

from hgq2_alkaid.cost.circuit import counts_of
from hgq2_alkaid.cost.coefficients import Coefficients, Spread, coefficients
from hgq2_alkaid.cost.layers import Logic, logic_of
from hgq2_core.exporting.graph import ebops
from hgq2_core.exporting.luts import LayerLuts, LutEstimate

MEDIAN, NINETY, RANK = 0.10, 0.25, 0.9
"""What a cost model should reach on trained models; where it does not, its estimates say so."""


def predict_luts(model: keras.Model) -> LutEstimate:
    """Return the predicted LUTs; see `hgq2_core.exporting.luts.estimate_luts`."""
    known = coefficients()
    layers = tuple(_row(each, known) for each in logic_of(model))
    luts = sum(layer.luts for layer in layers)
    spread = known.arithmetic.spread
    guessed = [layer.name for layer in layers if not layer.fitted]
    remarks = [remark(spread)]
    if guessed:
        remarks.append(
            f"No exact arithmetic, so {known.luts_per_ebop:.2f} LUTs for each EBOP were taken: {', '.join(guessed)}."
        )
    return LutEstimate(luts, luts * spread.low, luts * spread.high, layers, " ".join(remarks))


def circuit_luts(circuit: CombLogic) -> LutEstimate:
    """Return the LUTs of a traced circuit, by its operations."""
    known = coefficients().circuit
    luts = known.of(counts_of(circuit))
    return LutEstimate(luts, luts * known.spread.low, luts * known.spread.high, (), remark(known.spread))


def remark(spread: Spread) -> str:
    """Return what is known of a spread, and a warning where it is wider than it should be."""
    facts = (
        f"Against yosys on {spread.models} trained models: median error {spread.median:.0%}, 90 % within "
        f"{spread.ninety:.0%}, rank correlation {spread.rank:.2f}."
    )
    if spread.median <= MEDIAN and spread.ninety <= NINETY and spread.rank >= RANK:
        return facts
    return f"{facts} That is wider than the aim of {MEDIAN:.0%}, {NINETY:.0%} and {RANK:g}: synthesize to be sure."


def _row(logic: Logic, known: Coefficients) -> LayerLuts:
    cost = ebops(logic.layer)
    if logic.counts is None:
        return LayerLuts(logic.path, cost * known.luts_per_ebop, cost, fitted=False)
    return LayerLuts(logic.path, known.arithmetic.of(logic.counts), cost)
