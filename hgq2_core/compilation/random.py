"""Random draws inside a traced step: each stays one operation of the graph, seeded by a tensor.

Keras seeds a new generator for each draw by the state of a `SeedGenerator`, read as a Python number. A traced step must
not read it: the number would become a constant. Here the tensor itself is an argument of the draw, so that a compiled
step draws exactly the numbers of an eager one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SEED_BITS = 0xFFFFFFFF
"""Those of a seed that Keras uses."""


def _generator(seed: Tensor) -> torch.Generator:
    return torch.Generator(device=seed.device).manual_seed(int(seed) & SEED_BITS)


def _bernoulli(seed: Tensor, p: Tensor) -> Tensor:
    return torch.bernoulli(p, generator=_generator(seed))


def _uniform(seed: Tensor, size: Sequence[int], dtype: torch.dtype) -> Tensor:
    return torch.rand(list(size), generator=_generator(seed), dtype=dtype, device=seed.device)


def _normal(seed: Tensor, mean: float, std: float, size: Sequence[int], dtype: torch.dtype) -> Tensor:
    return torch.normal(mean, std, list(size), generator=_generator(seed), dtype=dtype, device=seed.device)


def _operation(function: Callable[..., Tensor], shaped: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Make an operation that stays whole in a compiled graph.

    Args:
        function: what it computes.
        shaped: of the same arguments; a tensor of the shape and dtype of the result, for what plans the graph.
    """
    operation: Any = torch.library.custom_op(f"hgq2_core::{function.__name__.strip('_')}", function, mutates_args=())
    operation.register_fake(shaped)
    drawn: Callable[..., Tensor] = operation
    return drawn


bernoulli = _operation(_bernoulli, lambda seed, p: torch.empty_like(p))
"""Draw 0 or 1 for each probability."""

uniform = _operation(_uniform, lambda seed, size, dtype: seed.new_empty(size, dtype=dtype))
"""Draw numbers in [0, 1)."""

normal = _operation(_normal, lambda seed, mean, std, size, dtype: seed.new_empty(size, dtype=dtype))
"""Draw normally distributed numbers."""


def _draw_uniform(seed: Tensor, *size: Any, dtype: torch.dtype, **options: Any) -> Tensor:
    size = options.get("size", size[0] if len(size) == 1 and isinstance(size[0], Sequence) else size)
    return uniform(seed, list(size), dtype)


def _draw_normal(seed: Tensor, mean: float, std: float, *, size: Any, dtype: torch.dtype, **_: Any) -> Tensor:
    return normal(seed, float(mean), float(std), list(size), dtype)


DRAWS: Mapping[Any, Callable[..., Tensor]] = {
    torch.bernoulli: bernoulli,
    torch.rand: _draw_uniform,
    torch.normal: _draw_normal,
}
"""What torch draws from a generator, and the operation that takes its place in a graph."""
