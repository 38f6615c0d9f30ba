"""A recorded graph interpreted with numpy in float32, one operation of ONNX after the other, without onnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hgq2_qonnx.graph import Graph, Tensor

Attributes = Mapping[str, Any]

CHUNK = 256
"""Samples at once."""


def interpret(graph: Graph, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Return each output, one row per sample.

    Args:
        graph: of one sample.
        inputs: for each input a row per sample, of the shape of the graph's behind it.
    """
    samples = len(next(iter(inputs.values())))
    parts = [_chunk(graph, {k: v[n : n + CHUNK] for k, v in inputs.items()}) for n in range(0, samples, CHUNK)]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _chunk(graph: Graph, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    size = len(next(iter(inputs.values())))
    batched = graph.batched(size)
    values: dict[str, Tensor] = {**batched.constants}
    for name, array in inputs.items():
        values[name] = np.asarray(array, dtype=np.float32).reshape(batched.inputs[name])
    with np.errstate(over="ignore", under="ignore"):  # far outside, an input overflows before it saturates
        for node in batched.nodes:
            values[node.output] = OPS[node.op](node.attributes, *(values[name] for name in node.inputs))
    return [values[name].reshape(size, -1) for name in batched.outputs]


def _quant(attributes: Attributes, x: Tensor, scale: Tensor, zero: Tensor, bits: Tensor) -> Tensor:
    width, signed = int(bits), attributes["signed"]
    high = 2.0 ** (width - signed) - 1
    low = -signed * (2.0 ** (width - 1) - attributes["narrow"])
    steps = np.clip(x / scale, np.float32(low), np.float32(high))
    return np.asarray(ROUND[attributes["rounding_mode"]](steps) * scale, dtype=np.float32)


ROUND: Mapping[str, Callable[[Tensor], Any]] = {
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "ROUND": np.rint,
    "DOWN": np.trunc,
    "UP": lambda x: np.copysign(np.ceil(np.abs(x)), x),
    "HALF_UP": lambda x: np.copysign(np.floor(np.abs(x) + np.float32(0.5)), x),
    "HALF_DOWN": lambda x: np.copysign(np.ceil(np.abs(x) - np.float32(0.5)), x),
}
"""For each rounding mode of QONNX, its function of steps."""


def _float_quant(
    attributes: Attributes, x: Tensor, scale: Tensor, exponent: Tensor, mantissa: Tensor, bias: Tensor, largest: Tensor
) -> Tensor:
    own = np.frexp(x)[1] - 1
    step = np.maximum(own, int(1 - bias)) - int(mantissa)
    rounded = np.ldexp(np.rint(np.ldexp(x.astype(np.float64), -step)), step)
    return np.asarray(np.clip(rounded, -largest, largest), dtype=np.float32)


def _pad(attributes: Attributes, x: Tensor) -> Tensor:
    before, after = np.array_split(attributes["pads"], 2)
    return np.pad(x, list(zip(before, after, strict=True)))


def _gather(attributes: Attributes, x: Tensor, indices: Tensor) -> Tensor:
    return np.take(x, indices, axis=attributes["axis"])


def _sum(attributes: Attributes, x: Tensor) -> Tensor:
    return np.asarray(x.sum(axis=tuple(attributes["axes"]), keepdims=bool(attributes["keepdims"]), dtype=x.dtype))


OPS: Mapping[str, Callable[..., Tensor]] = {
    "Add": lambda attributes, a, b: a + b,
    "Sub": lambda attributes, a, b: a - b,
    "Mul": lambda attributes, a, b: a * b,
    "Neg": lambda attributes, a: -a,
    "Max": lambda attributes, a, b: np.maximum(a, b),
    "Min": lambda attributes, a, b: np.minimum(a, b),
    "Relu": lambda attributes, a: np.maximum(a, np.float32(0)),
    "Less": lambda attributes, a, b: a < b,
    "Where": lambda attributes, c, a, b: np.asarray(np.where(c, a, b)),
    "Cast": lambda attributes, a: a.astype(attributes["to"]),
    "Floor": lambda attributes, a: np.floor(a),
    "Mod": lambda attributes, a, b: np.fmod(a, b),
    "MatMul": lambda attributes, a, b: a @ b,
    "Einsum": lambda attributes, a, b: np.einsum(attributes["equation"], a, b),
    "ReduceSum": _sum,
    "Reshape": lambda attributes, a: a.reshape(attributes["shape"]),
    "Expand": lambda attributes, a: np.broadcast_to(a, attributes["shape"]),
    "Transpose": lambda attributes, a: a.transpose(attributes["perm"]),
    "Concat": lambda attributes, *parts: np.concatenate(parts, axis=attributes["axis"]),
    "Gather": _gather,
    "Pad": _pad,
    "Identity": lambda attributes, a: a,
    "Quant": _quant,
    "FloatQuant": _float_quant,
}
"""For each operation, its function of attributes and inputs."""
