"""A recorded graph: operations of ONNX and QONNX on named tensors, without either package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]

SHAPES = ("shape", "axes", "pads")
"""The attributes here that are inputs in ONNX."""


@dataclass(frozen=True)
class Node:
    """An operation.

    Args:
        op: its name in ONNX, or in QONNX for `Quant` and `FloatQuant`.
        inputs: names of tensors and of constants.
        output: name of its tensor.
        shape: of its tensor.
        attributes: as ONNX has them, with those of `SHAPES`.
        place: the layer that it belongs to.
        plain: what it does for a quantizer that QONNX has no node for; None elsewhere.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, ...]
    attributes: Mapping[str, Any]
    place: str = ""
    plain: str | None = None


@dataclass
class Graph:
    """Nodes in the order in which they are computed.

    Args:
        inputs: the shape of each input.
        nodes: the operations.
        constants: the values of each constant.
        outputs: names of tensors, of constants, or of inputs.
    """

    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    place: str = ""
    plain: str | None = None
    _known: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    _count: int = 0

    def add(self, op: str, inputs: Iterable[str], shape: Sequence[int], /, **attributes: Any) -> str:
        """Append an operation, and return the name of its tensor."""
        self._count += 1
        output = f"{self.place or 'model'}/{op}_{self._count}"
        node = Node(op, tuple(inputs), output, tuple(shape), attributes, self.place, self.plain)
        self.nodes.append(node)
        return output

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Return the name of a constant, the same for the same values."""
        array = np.ascontiguousarray(values, dtype=dtype).reshape(np.shape(values))
        key = str(array.dtype), array.shape, array.tobytes()
        if key not in self._known:
            self._known[key] = f"constant_{len(self._known)}"
            self.constants[self._known[key]] = array
        return self._known[key]

    def needed(self) -> Graph:
        """Return the graph of what the outputs depend on."""
        wanted = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if node.output in wanted:
                kept.append(node)
                wanted.update(node.inputs)
        constants = {name: values for name, values in self.constants.items() if name in wanted}
        return Graph(dict(self.inputs), kept[::-1], constants, list(self.outputs))

    def with_outputs(self, names: Sequence[str]) -> Graph:
        """Return the graph with its outputs called by other names, which no tensor has yet."""
        chosen: dict[str, str] = {}
        made = {node.output for node in self.nodes}
        copies = []
        for tensor, name in zip(self.outputs, names, strict=True):
            if tensor in made and tensor not in chosen:
                chosen[tensor] = name
            else:
                copies.append((tensor, name))
        nodes = [
            replace(
                node,
                inputs=tuple(chosen.get(each, each) for each in node.inputs),
                output=chosen.get(node.output, node.output),
            )
            for node in self.nodes
        ]
        for tensor, name in copies:
            shape = self.shape(tensor)
            nodes.append(Node("Identity", (chosen.get(tensor, tensor),), name, shape, {}))
        return Graph(dict(self.inputs), nodes, dict(self.constants), list(names))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, a constant or an input."""
        if name in self.inputs:
            return self.inputs[name]
        if name in self.constants:
            return self.constants[name].shape
        return next(node.shape for node in self.nodes if node.output == name)

    def batched(self, size: int) -> Graph:
        """Return the graph for several samples at once; inside, they are a further axis in front of all others.

        Args:
            size: how many; the graph itself is of one.
        """
        shapes = {name: (size, *shape[1:]) for name, shape in self.inputs.items()}
        made = Graph(shapes, [], dict(self.constants), list(self.outputs))
        names = {name: f"{name}/each" for name in self.inputs} | {name: f"{name}/whole" for name in self.outputs}
        for name, shape in self.inputs.items():
            made._reshape(name, names[name], (size, *shape))
        varies = {names[name] for name in self.inputs}
        for node in self.nodes:
            inputs = tuple(names.get(name, name) for name in node.inputs)
            renamed = replace(node, inputs=inputs, output=names.get(node.output, node.output))
            if varies.isdisjoint(inputs):
                made.nodes.append(renamed)
                continue
            varies.add(renamed.output)
            made.nodes.append(made._along(renamed, size, [name in varies for name in inputs]))
        for name in self.outputs:
            whole = names[name] if names[name] in varies else made._repeated(names[name], size)
            made._reshape(whole, name, (size, *self.shape(name)[1:]))
        return made

    def _reshape(self, name: str, output: str, shape: tuple[int, ...]) -> None:
        self.nodes.append(Node("Reshape", (name,), output, shape, {"shape": shape}))

    def _along(self, node: Node, size: int, varies: Sequence[bool]) -> Node:
        """Return a node with one more axis in front of those of its inputs that vary."""
        inputs, changed = node.inputs, dict(node.attributes)
        if "shape" in changed:
            changed["shape"] = (size, *changed["shape"])
        if "axes" in changed:
            changed["axes"] = tuple(axis + 1 for axis in changed["axes"])
        if "perm" in changed:
            changed["perm"] = (0, *(axis + 1 for axis in changed["perm"]))
        if "pads" in changed:
            half = len(changed["pads"]) // 2
            changed["pads"] = (0, *changed["pads"][:half], 0, *changed["pads"][half:])
        if "equation" in changed:
            terms, output = changed["equation"].split("->")
            spare = next(letter for letter in "ZYXWVUTSRQ" if letter not in changed["equation"])
            terms = (spare * each + term for each, term in zip(varies, terms.split(","), strict=True))
            changed["equation"] = f"{','.join(terms)}->{spare}{output}"
        if node.op == "Concat":
            whole = zip(inputs, varies, strict=True)
            inputs = tuple(name if each else self._repeated(name, size) for name, each in whole)
        if "axis" in changed and (varies[0] or node.op == "Concat"):
            changed["axis"] += 1
        return replace(node, inputs=inputs, shape=(size, *node.shape), attributes=changed)

    def _repeated(self, name: str, size: int) -> str:
        if name not in self.constants:  # made of constants alone
            shape = self.shape(name)
            self.nodes.append(Node("Expand", (name,), f"{name}/{size}", (size, *shape), {"shape": (size, *shape)}))
            return f"{name}/{size}"
        values = self.constants[name]
        self.constants[f"{name}/{size}"] = np.broadcast_to(values, (size, *values.shape))
        return f"{name}/{size}"
