"""Quantizers of an input that round to no format: the thresholds that a number reaches choose its value."""

from __future__ import annotations

from math import ldexp

import numpy as np

from hgq2_core.exporting.inputs import Entry, Objects
from hgq2_core.exporting.steps import StepFunction
from hgq2_qonnx.graph import Graph


def stepped(graph: Graph, name: str, entered: Objects) -> str:
    """Record the step function of each number, and return the tensor.

    Args:
        graph: to which its nodes are added.
        name: of the input's tensor.
        entered: what the quantizer makes of each number: an `Entry` with a step function, or a float.
    """
    functions = [_function(x) for x in entered.ravel()]
    distinct = list(dict.fromkeys(functions))
    most = max(len(thresholds) for thresholds, _ in distinct)
    starts = np.cumsum([0, *(len(values) for _, values in distinct)])
    first = {function: int(start) for function, start in zip(distinct, starts, strict=False)}
    thresholds = np.full((len(functions), most), np.inf, dtype=np.float32)
    for row, (own, _) in enumerate(functions):
        thresholds[row, : len(own)] = own
    last = np.reshape([first[function] + most for function in functions], entered.shape)
    if len(distinct) == 1:
        thresholds, last = thresholds[0], last.ravel()[0]
    else:
        thresholds = thresholds.reshape(*entered.shape, most)
    rank, shape = entered.ndim, entered.shape
    column = graph.add("Reshape", [name], (*shape, 1), shape=(*shape, 1))
    below = graph.add("Less", [column, graph.constant(thresholds)], (*shape, most))
    counted = graph.add("Cast", [below], (*shape, most), to="float32")
    missed = graph.add("ReduceSum", [counted], shape, axes=(rank,), keepdims=0)
    place = graph.add("Sub", [graph.constant(last), missed], shape)
    index = graph.add("Cast", [place], shape, to="int64")
    values = np.concatenate([values for _, values in distinct])
    return graph.add("Gather", [graph.constant(values), index], shape, axis=0)


def _function(x: Entry | float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the thresholds and the values of what a quantizer makes of a number."""
    if not isinstance(x, Entry):
        return (), (float(x),)
    assert isinstance(x.format, StepFunction)
    return x.format.thresholds, tuple(ldexp(value, -x.format.f) for value in x.format.values)
