"""The views of a report on layers: cost, bits, weights, and ranges beside observed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hgq2_core.model.cost import Summary
from hgq2_core.model.number_format import format_count, format_share
from hgq2_training.report.drawings import bit_map, histogram

COLUMNS = ("layer", "kind", "output", "slot", "bits", "min", "max", "zeroed", "EBOPs")
HISTOGRAMS = 40
"""Histograms of weights on a page, at most."""
FEWEST = 4
"""Values of a histogram, at least."""

Slots = Sequence[Mapping[str, Any]]


def layers_view(layers: Summary) -> dict[str, Any]:
    """Return the table of layers; the first row of each has its EBOPs, and their share of the largest ones."""
    rows, most = [], max((layer.ebops for layer in layers.layers), default=0)
    for layer in layers.layers:
        shape = "" if layer.output_shape is None else " × ".join(map(str, layer.output_shape))
        head, cost = (layer.name, layer.kind, shape), format_count(layer.ebops)
        bits = [(slot.label, *slot.cells) for slot in layer.slots] or [("", "", "", "", "")]
        share = layer.ebops / most if most else 0
        rows.append({"kind": "first", "cells": (*head, *bits[0], cost), "share": share})
        rows += [{"kind": "", "cells": ("", "", "", *each, ""), "share": 0} for each in bits[1:]]
    return {"heads": COLUMNS, "rows": rows}


def bits_view(slots: Slots) -> dict[str, Any] | None:
    """Return the heat map of bits: for each quantizer the share of its elements by their bits; and its own maps."""
    if not slots:
        return None
    widths = [int(width) for slot in slots for width in slot["bits"]]
    shown = range(min(widths), max(widths) + 1)
    rows = []
    for slot in slots:
        total = sum(slot["bits"].values())
        shares = [slot["bits"].get(str(width), 0) / total for width in shown]
        rows.append((_name(slot), [(format_share(share) if share else "", share) for share in shares]))
    maps = [
        (bit_map(f"map{index}", f"bits of {_name(slot)}", slot["map"]), _name(slot))
        for index, slot in enumerate(slots)
        if "map" in slot
    ]
    return {"heads": [str(width) for width in shown], "rows": rows, "maps": maps}


def weights_view(slots: Slots) -> list[tuple[Any, str]]:
    """Return a histogram for each weight with enough values that are not 0, with its name and share of zeros."""
    found: list[tuple[Any, str]] = []
    for index, slot in enumerate(slots):
        weights = slot.get("weights")
        if weights and sum(weights["counts"]) >= FEWEST and len(found) < HISTOGRAMS:
            zeros = f", {format_share(weights['zeros'] / weights['size'])} are 0, not drawn" if weights["zeros"] else ""
            caption = f"{_name(slot)}: {format_count(weights['size'])} values{zeros}"
            drawn = histogram(f"weights{index}", f"values of {_name(slot)}", weights["counts"], weights["edges"])
            found.append((drawn, caption))
    return found


def ranges_view(health: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each quantizer with a range where it lies beside the values that it observed."""
    rows = []
    for layer in health.get("layers", ()):
        for slot in layer["slots"]:
            # The file has null in place of an end that is not finite.
            if None in (*(slot.get("seen") or [None]), *(slot.get("range") or [None])):
                continue
            (low, high), (least, most) = slot["range"], slot["seen"]
            ends = min(low, least, 0.0), max(high, most, 0.0)
            rows.append(
                {
                    "name": f"{layer['name']}.{slot['name']}",
                    "allowed": _place(low, high, *ends),
                    "seen": _place(least, most, *ends),
                    "over": slot["overflows"] > 0,
                    "cells": (
                        *(f"{value:.5g}" for value in (low, high, least, most)),
                        format_count(slot["overflows"]),
                        format_count(slot["values"]),
                    ),
                }
            )
    return rows


def _place(start: float, end: float, low: float, high: float) -> str:
    """Return the style that places an interval inside another."""
    width = (high - low) or 1.0
    return f"left: {100 * (start - low) / width:.1f}%; width: {100 * (end - start) / width:.1f}%"


def _name(slot: Mapping[str, Any]) -> str:
    return f"{slot['layer']}.{slot['slot']}"
