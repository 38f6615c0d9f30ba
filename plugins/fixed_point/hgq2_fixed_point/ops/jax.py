"""jax: the formulas over `jax.numpy`, compiled."""

from __future__ import annotations

from functools import partial

import jax

from hgq2_core.ops.jax import OPERATIONS, differentiable
from hgq2_fixed_point.formulas import Formulas
from hgq2_fixed_point.ops.compiled import CompiledBackend


class _Compiled(Formulas):
    """The formulas that are called outside of a compiled function too: each is compiled whole, not step by step."""

    min_integer_bits = partial(jax.jit, static_argnames=("self", "axes", "signed", "mode"))(Formulas.min_integer_bits)
    negative = partial(jax.jit, static_argnames=("self", "axes", "mode"))(Formulas.negative)


_formulas = _Compiled(OPERATIONS)
BACKEND = CompiledBackend(_formulas, differentiable(_formulas))
