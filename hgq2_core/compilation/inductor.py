"""A traced graph compiled by torch's inductor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule


def compiled(graph: GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
    """Compile a graph.

    Args:
        graph: a function of tensors; it may change its inputs in place.
        inputs: an example.

    Returns:
        A function of the same tensors, to be called without gradients.
    """
    with torch.no_grad():
        # Draws without a seed of their own come from torch's generator, as in an eager step.
        return torch._inductor.compile(graph, inputs, options={"fallback_random": True})  # type: ignore[no-any-return]
