"""One run of a step recorded as a graph of torch operations, whose inputs are the batch and the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from hgq2_core.compilation.counters import Counters, Decision
from hgq2_core.compilation.random import DRAWS, SEED_BITS
from hgq2_core.compilation.simplify import with_constants, without_detach

READS = {Tensor.numpy, Tensor.tolist, Tensor.__array__}
"""Besides what ends in `aten._local_scalar_dense`, what takes values out of tensors."""


class UntraceableError(Exception):
    """A step that cannot be one graph, because what it does depends on the values of tensors."""


LIFTS = {torch.ops.aten.lift_fresh.default, torch.ops.aten.lift_fresh_copy.default}
"""What brings a Python number or an array into a tensor."""


class _Values(TorchDispatchMode):
    """Refuses numbers taken out of tensors, unless they come of counters, and states those brought into tensors."""

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self.counters = counters

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            return self._number(args[0])
        if func in LIFTS:
            # Left alone, make_fx would fold operations on constants by computing them once more: those in place too.
            func, args, kwargs = self._constant(args[0])
        result = func(*args, **kwargs)
        self.counters.follow(func, args, kwargs, result)
        return result

    def _number(self, value: Tensor) -> Any:
        with _disable_current_modes():
            number = value.item()
        if not self.counters.decide(value, number):
            raise UntraceableError("it takes a number out of a tensor")
        return number

    def _constant(self, value: Tensor) -> tuple[Any, Any, Any]:
        """Return an operation that makes a tensor, with its arguments."""
        if value.numel() > 1:
            return torch.ops.aten.clone.default, (value,), {}
        with _disable_current_modes():
            number = value.item()
        return torch.ops.aten.full.default, (value.shape, number), {"dtype": value.dtype, "device": value.device}


class _Seeds(TorchFunctionMode):
    """Turns draws from seeded generators, and factors that are tensors, into operations of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.seed: Tensor | None = None
        self.value = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in READS:
            raise UntraceableError("it takes the values out of a tensor")
        if func is Tensor.__int__ and args[0].ndim == 0 and not args[0].is_floating_point():
            return self._read(args[0])
        if func is torch._foreach_add_ and isinstance(kwargs.get("alpha"), Tensor):
            # Keras hands the learning rate over as a factor, which torch would read.
            return func(args[0], torch._foreach_mul(args[1], kwargs["alpha"]))
        generator = kwargs.get("generator")
        if generator is None:
            return func(*args, **kwargs)
        return self._draw(func, generator, args, {name: value for name, value in kwargs.items() if name != "generator"})

    def _read(self, seed: Tensor) -> int:
        self.check()
        with _disable_current_modes():
            self.seed, self.value = seed, int(seed)
        return self.value

    def _draw(self, func: Any, generator: torch.Generator, args: Any, kwargs: Any) -> Tensor:
        seed, self.seed = self.seed, None
        if func not in DRAWS or seed is None or generator.initial_seed() != self.value & SEED_BITS:
            raise UntraceableError(f"it draws by {getattr(func, '__name__', func)}")
        return DRAWS[func](seed, *args, **kwargs)

    def check(self) -> None:
        """Refuse a number that was read and has seeded no draw.

        Raises:
            UntraceableError: there is one.
        """
        if self.seed is not None:
            raise UntraceableError("it takes an integer out of a tensor")


@dataclass
class Traced:
    """What a step computes.

    Args:
        graph: a function of the inputs and then of the state.
        state: the tensors that the step uses without getting them as inputs, such as the values of variables. The graph
            changes them in place.
        decisions: what the step decided by counters.
    """

    graph: GraphModule
    state: list[Tensor]
    decisions: list[Decision]


def trace(step: Callable[..., Any], inputs: Sequence[Tensor], variables: Sequence[Tensor] = ()) -> Traced:
    """Run a step once, and record what it computes.

    The run counts: what it assigns to variables is assigned.

    Args:
        step: of tensors, to a tensor or a list of tensors.
        inputs: of this run.
        variables: tensors that may change between steps, among them those that the step may count by.

    Returns:
        What was recorded.

    Raises:
        UntraceableError: what the step does depends on the values of tensors.
    """
    seeds, counters = _Seeds(), Counters(variables)

    def watched(*inputs: Tensor) -> Any:
        with seeds, _Values(counters):
            results = step(*inputs)
            seeds.check()
            return results

    graph = make_fx(watched, tracing_mode="real")(*inputs)
    without_detach(graph.graph)
    with_constants(graph, variables)
    return Traced(graph, _lift(graph), counters.decisions)


def _lift(graph: GraphModule) -> list[Tensor]:
    """Turn the tensors that a graph holds into inputs of it, after its own, each once."""
    nodes = list(graph.graph.nodes)
    last = [node for node in nodes if node.op == "placeholder"][-1]
    lifted: dict[int, tuple[torch.fx.Node, Tensor]] = {}
    for node in nodes:
        if node.op != "get_attr":
            continue
        tensor = getattr(graph, node.target)
        if id(tensor) not in lifted:
            with graph.graph.inserting_after(last):
                last = graph.graph.placeholder(f"state_{len(lifted)}")
            last.meta = dict(node.meta)
            lifted[id(tensor)] = last, tensor
        node.replace_all_uses_with(lifted[id(tensor)][0])
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    # What the module still held, the compiler would take for inputs of its own that share memory with these.
    registered = [*graph.named_parameters(recurse=False), *graph.named_buffers(recurse=False), *vars(graph).items()]
    for name in [name for name, value in registered if isinstance(value, Tensor)]:
        delattr(graph, name)
    graph.recompile()
    return [tensor for _, tensor in lifted.values()]
