"""The call of a layer in which quantizers run: it holds what they cost, so that EBOPs do not compute it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from hgq2_core.ops import Tensor


class Cost(NamedTuple):
    """The cost of one quantization.

    Args:
        bits: those that EBOPs count; they broadcast against the values.
        penalty: the part of the loss that regularizes the bit-widths; None if there is none.
    """

    bits: Tensor
    penalty: Tensor | None


class Call:
    """One call of a layer, with the cost of each quantizer's last quantization in it.

    Args:
        layer: the layer.
    """

    def __init__(self, layer: object) -> None:
        self.layer = layer
        self.costs: dict[Any, Cost] = {}


_call: ContextVar[Call | None] = ContextVar("hgq2_call", default=None)

present_call = _call.get


@contextmanager
def running(call: Call | None) -> Iterator[None]:
    """Run what is inside in a call.

    Args:
        call: a new one, or None to keep no costs, as in the body of a compiled loop, whose tensors must not leave it.
    """
    token = _call.set(call)
    try:
        yield
    finally:
        _call.reset(token)
