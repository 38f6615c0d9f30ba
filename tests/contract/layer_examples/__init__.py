"""Small arguments and input shapes for each kind of layer: a module for each family, an `EXAMPLES` in each."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

EXAMPLES: dict[str, list[tuple[dict[str, Any], Any]]] = {}
for module in pkgutil.iter_modules(__path__):
    EXAMPLES.update(importlib.import_module(f"{__name__}.{module.name}").EXAMPLES)

FAMILIES = (
    "attention.multi_head_attention",
    "attention.softmax",
    "layers.add",
    "layers.affine_unary_function",
    "layers.average_pooling2d",
    "layers.batch_normalization",
    "layers.conv1d_transpose",
    "layers.conv2d",
    "layers.conv2d_batch_norm",
    "layers.dense",
    "layers.dense_batch_norm",
    "layers.dense_lut",
    "layers.depthwise_conv2d",
    "layers.einsum",
    "layers.einsum_dense",
    "layers.embedding",
    "layers.leaky_integrate_and_fire",
    "layers.lstm",
    "layers.max_pooling2d",
    "layers.mean_pow2",
    "layers.prelu",
    "layers.quantize",
)
"""A kind for each arithmetic; the fast tests and the other backends run these, the slow tests on torch all."""
assert {*FAMILIES} <= {*EXAMPLES}
