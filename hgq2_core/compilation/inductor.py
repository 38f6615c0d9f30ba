"""A traced graph compiled by torch's inductor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._guards import TracingContext, tracing
from torch._inductor.exc import InductorError
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

OPTIONS = {
    # Draws without a seed of their own come from torch's generator, as in an eager step.
    "fallback_random": True,
}


MANY, SMALL = 2000, 2**22
"""A graph of so many operations on so few numbers of inputs is compiled in one form only."""


def compiled(graph: GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
    """Compile a graph; inductor keeps the result on disk, for the same graph in another process.

    Inductor cannot fuse some operations of a graph that changes its inputs. Such a graph is compiled as one that
    returns what they become, and they are assigned behind it. Of a large graph inductor finds that out after a minute,
    so that it takes this form at once; the small one that was tried, a plain MLP, was slower in it: docs/speed.md.

    Args:
        graph: a function of tensors; it may change its inputs in place.
        inputs: an example.

    Returns:
        A function of the same tensors, to be called without gradients.
    """
    if len(graph.graph.nodes) > MANY and sum(tensor.numel() for tensor in inputs) <= SMALL:
        return _returning(graph, inputs)
    try:
        return _compiled(graph, inputs)
    except InductorError:
        return _returning(graph, inputs)


def _returning(graph: GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
    functional, changed = _without_assignments(graph, inputs)
    return _assigning(_compiled(functional, inputs), changed)


def _assigning(run: Callable[..., Any], changed: list[int]) -> Callable[..., Any]:
    """Return a function that assigns the first results of another one to its inputs with these places."""

    def assign(*tensors: torch.Tensor) -> Any:
        results = run(*tensors)
        if changed:
            torch._foreach_copy_([tensors[place] for place in changed], list(results[: len(changed)]))
        return results[len(changed) :]

    return assign


def _compiled(graph: GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
    # Without a shape environment of its own, what is compiled is neither looked up on disk nor kept there. The shapes
    # are those of this form of batch: sizes left open make slower code, and some operations do not take them.
    with torch.no_grad(), tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv(), static_shapes=True))):
        return torch._inductor.compile(graph, inputs, options=OPTIONS)  # type: ignore[no-any-return]


def _without_assignments(graph: GraphModule, inputs: list[torch.Tensor]) -> tuple[GraphModule, list[int]]:
    """Return a graph that changes nothing, whose first results are the new values of the inputs with these places."""
    with torch.no_grad():
        functional = make_fx(torch.func.functionalize(graph), tracing_mode="fake")(*inputs)
    places = {node: place for place, node in enumerate(functional.graph.find_nodes(op="placeholder"))}
    changed: list[int] = []
    values = []
    for node in functional.graph.find_nodes(op="call_function", target=torch.ops.aten.copy_.default):
        if node.args[0] in places:
            changed.append(places[node.args[0]])
            values.append(node.args[1])  # never an input: what is assigned is the result of an operation
            node.replace_all_uses_with(node.args[1])
            functional.graph.erase_node(node)
    (output,) = functional.graph.find_nodes(op="output")
    output.args = ([*values, *output.args[0]],)
    functional.recompile()
    return functional, changed
