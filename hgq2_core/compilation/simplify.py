"""Less to compile: passes over a traced graph that leave what it computes as it is, to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

aten = torch.ops.aten


def without_detach(graph: Graph) -> None:
    """Leave out what only keeps gradients away: a traced graph is run without them."""
    for node in graph.find_nodes(op="call_function", target=aten.detach.default):
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)


def with_constants(module: GraphModule, variables: Sequence[Tensor]) -> None:
    """Write numbers that are tensors, but no variables and not changed by the graph, as numbers.

    As inputs, the few numbers that all quantizers share would make each operation of one look related to all others.

    Args:
        module: whose attributes are the tensors that it uses.
        variables: tensors that may change between steps.
    """
    held = [(node, getattr(module, str(node.target))) for node in module.graph.find_nodes(op="get_attr")]
    changing = {id(tensor) for tensor in variables}
    changing |= {id(tensor) for node, tensor in held if any(_touches(user, node) for user in node.users)}
    numbers: dict[tuple[torch.dtype, str], Node] = {}
    first = next(node for node in module.graph.nodes if node.op != "placeholder")
    for node, tensor in held:
        # All Keras variables are parameters.
        if tensor.ndim or id(tensor) in changing or isinstance(tensor, torch.nn.Parameter):
            continue
        key = tensor.dtype, repr(tensor.item())  # -0.0 is not 0.0
        if key not in numbers:
            with module.graph.inserting_before(first):
                options = {"dtype": tensor.dtype, "device": tensor.device}
                numbers[key] = module.graph.call_function(aten.full.default, ([], tensor.item()), options)
        node.replace_all_uses_with(numbers[key])
    module.graph.eliminate_dead_code()


def _touches(operation: Node, operand: Node) -> bool:
    """Return True if an operation may change an operand or return a view of it."""
    schema = getattr(operation.target, "_schema", None)
    if schema is None:
        return True
    given = {argument.name: value for argument, value in zip(schema.arguments, operation.args, strict=False)}
    aliased = [{**given, **operation.kwargs}.get(each.name) for each in schema.arguments if each.alias_info]
    return any(operand is value or (isinstance(value, list | tuple) and operand in value) for value in aliased)
