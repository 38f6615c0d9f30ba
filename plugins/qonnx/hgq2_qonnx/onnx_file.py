"""A recorded graph as a file of QONNX. Only this module imports onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hgq2_core.errors import ToolError
from hgq2_core.files import atomic_path
from hgq2_qonnx.graph import SHAPES, Graph, Node

MODEL, BATCHED = "model.onnx", "model_batch.onnx"
"""The file of one sample, which other tools take, and that of many at once, which qonnx's executor runs far faster."""

BATCH = 256
"""Samples that the second takes at once."""

OPSET = 13
"""Of ONNX: the first in which ReduceSum takes its axes as an input; FINN and hls4ml read it."""

QONNX_OPSET = 1
IR_VERSION = 8
"""Of the file, that of ONNX 1.10 to 1.13, so that older tools read it too."""

DOMAIN = "qonnx.custom_op.general"
OWN = ("Quant", "FloatQuant")
"""The operations of QONNX; all others are those of ONNX."""


def require_onnx() -> None:
    """Refuse to go on without onnx.

    Raises:
        ToolError: it cannot be imported, which says what to install.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ToolError(
            f"export: onnx cannot be imported: {error}. Install it with pip install 'onnx>=1.17'"
        ) from error


def write_model(path: Path, graph: Graph, name: str) -> None:
    """Write a graph as a file of QONNX.

    Args:
        path: of the file.
        graph: of one sample, or of a batch.
        name: of the model.
    """
    content = _model(graph, name).SerializeToString()
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _model(made: Graph, name: str) -> Any:
    from onnx import checker, helper

    import hgq2_qonnx

    constants = dict(made.constants)
    nodes = [_node(node, constants) for node in made.nodes]
    of_outputs = [node for node in made.nodes if node.output in made.outputs]
    values = [_value(node.output, node.shape, _dtype(node)) for node in made.nodes if node not in of_outputs]
    by_name = {node.output: node for node in of_outputs}
    onnx_graph = helper.make_graph(
        nodes,
        name,
        [_value(each, shape) for each, shape in made.inputs.items()],
        [_value(each, by_name[each].shape) for each in made.outputs],
        [_tensor(each, array) for each, array in constants.items()],
        value_info=values,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, QONNX_OPSET)]
    model = helper.make_model(onnx_graph, opset_imports=opsets, producer_name="hgq2-qonnx")
    model.producer_version = hgq2_qonnx.__version__
    model.ir_version = IR_VERSION
    checker.check_model(model)
    return model


def _node(node: Node, constants: dict[str, Any]) -> Any:
    from onnx import helper

    attributes, inputs = dict(node.attributes), list(node.inputs)
    for name in SHAPES:
        if name in attributes:
            values = np.array(attributes.pop(name), dtype=np.int64)
            key = "_".join(["ints", *map(str, values.tolist())])
            constants[key] = values
            inputs.append(key)
    if "to" in attributes:
        attributes["to"] = _type(attributes["to"])
    domain = DOMAIN if node.op in OWN else ""
    return helper.make_node(node.op, inputs, [node.output], name=node.output, domain=domain, **attributes)


def _dtype(node: Node) -> str:
    return "bool" if node.op == "Less" else str(node.attributes.get("to", "float32"))


def _type(dtype: str) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _value(name: str, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, _type(dtype), shape)


def _tensor(name: str, array: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
