"""Operations on backend tensors that Keras lacks, or that are too slow there to run at every step.

`protocol` declares the operations of quantizers' formulas, for backends whose compiler fuses them; `jax` and
`tensorflow` implement them. `torch` has the in-place primitives of hand-written passes. `step` is for all three
backends, `layout` describes their float layouts, `backend` imports the module of the one that runs, `data_parallel`
distributes batches over devices. Only modules that run on a backend import this package, never the modules of configs.
"""

from hgq2_core.ops.layout import LAYOUTS
from hgq2_core.ops.protocol import Tensor
from hgq2_core.ops.step import (
    affine,
    assign,
    clip,
    divide_batch,
    dot,
    reshape,
    sparing,
    step_by_step,
    table_index,
    take_rows,
    total,
    value,
)

__all__ = [
    "LAYOUTS",
    "Tensor",
    "affine",
    "assign",
    "clip",
    "divide_batch",
    "dot",
    "reshape",
    "sparing",
    "step_by_step",
    "table_index",
    "take_rows",
    "total",
    "value",
]
