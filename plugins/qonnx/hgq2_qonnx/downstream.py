"""What other tools that read QONNX find in a file, and may not take: named in the report and beside the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hgq2_qonnx.graph import Graph, Node


def notes(graph: Graph) -> tuple[str, ...]:
    """Return how many nodes there are of each kind, and what a tool may not take, with the layers that it is in.

    Args:
        graph: of the file.
    """
    counts = Counter(node.op for node in graph.nodes)
    found = [f"{len(graph.nodes)} nodes: " + ", ".join(f"{count} {op}" for op, count in counts.most_common())]
    for holds, text in KINDS:
        places = dict.fromkeys(node.place or "model" for node in graph.nodes if holds(graph, node))
        if places:
            found.append(f"{text} ({', '.join(places)})")
    return tuple(found)


def _per_element(graph: Graph, node: Node) -> bool:
    return node.op == "Quant" and graph.constants[node.inputs[1]].size > 1


KINDS: tuple[tuple[Callable[[Graph, Node], bool], str], ...] = (
    (
        lambda graph, node: node.plain is not None,
        "plain operations in place of a quantizer, for tools no quantizer: overflow modes WRAP, WRAP_SM, SAT_ZERO",
    ),
    (
        lambda graph, node: _per_element(graph, node),
        "a Quant with a scale for each element: FINN takes one for a tensor or a channel",
    ),
    (
        lambda graph, node: node.op in ("Max", "Min") and node.plain is None,
        "Max and Min, of the model or where a Quant's one width is not that of every element: FINN has no such layers",
    ),
    (
        lambda graph, node: node.op == "Quant" and node.attributes["rounding_mode"] not in ("ROUND", "FLOOR"),
        "a Quant with a rounding mode besides ROUND and FLOOR: hls4ml's and FINN's conversions know few",
    ),
    (lambda graph, node: node.op == "FloatQuant", "FloatQuant: Brevitas and qonnx know it, FINN and hls4ml do not"),
    (
        lambda graph, node: node.op in ("Gather", "Einsum", "Where", "Less", "Mod", "Floor") and node.plain is None,
        "Gather (convolutions, tables), Einsum, Where: computed by ONNX Runtime, without a layer in FINN and hls4ml",
    ),
)
"""What is looked for, and what is said of it."""
