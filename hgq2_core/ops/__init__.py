"""Backend tensors: what Keras' own operations lack, or do too slowly at every step; one module per backend.

`protocol` declares the operations that a quantizer's formulas are written in, for backends whose compiler fuses them;
`jax` and `tensorflow` implement them. `torch` has the in-place primitives of hand-written passes. `step` is for all
three. All rest on one description of float layouts, `layout`. Imported by the Keras side of plugins only: configs
import no backend.
"""

from hgq2_core.ops.step import affine, assign, clip, dot, reshape, total, value

__all__ = ["affine", "assign", "clip", "dot", "reshape", "total", "value"]
