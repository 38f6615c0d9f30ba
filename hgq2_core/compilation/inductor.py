"""A traced graph compiled by torch's inductor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.symbolic_shapes import ShapeEnv

OPTIONS = {
    # Draws without a seed of their own come from torch's generator, as in an eager step.
    "fallback_random": True,
}


def compiled(graph: GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
    """Compile a graph; inductor keeps the result on disk, for the same graph in another process.

    Args:
        graph: a function of tensors; it may change its inputs in place.
        inputs: an example.

    Returns:
        A function of the same tensors, to be called without gradients.
    """
    # Without a shape environment of its own, what is compiled is neither looked up on disk nor kept there.
    with torch.no_grad(), tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv()))):
        return torch._inductor.compile(graph, inputs, options=OPTIONS)  # type: ignore[no-any-return]
