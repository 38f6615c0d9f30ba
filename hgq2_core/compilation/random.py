"""Random draws inside a traced step: each stays one operation of the graph, seeded by a tensor.

Keras seeds a new generator for each draw by the state of a `SeedGenerator`, read as a Python number. A traced step must
not read it: the number would become a constant. Here the tensor itself is an argument of the draw, so that a compiled
step draws exactly the numbers of an eager one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

SEED_BITS = 0xFFFFFFFF
"""Those of a seed that Keras uses."""


def _generator(seed: torch.Tensor) -> torch.Generator:
    return torch.Generator(device=seed.device).manual_seed(int(seed) & SEED_BITS)


@torch.library.custom_op("hgq2_core::bernoulli", mutates_args=())
def bernoulli(seed: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Draw 0 or 1 for each probability."""
    return torch.bernoulli(p, generator=_generator(seed))


@torch.library.custom_op("hgq2_core::uniform", mutates_args=())
def uniform(seed: torch.Tensor, size: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Draw numbers in [0, 1)."""
    return torch.rand(list(size), generator=_generator(seed), dtype=dtype, device=seed.device)


@torch.library.custom_op("hgq2_core::normal", mutates_args=())
def normal(seed: torch.Tensor, mean: float, std: float, size: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Draw normally distributed numbers."""
    return torch.normal(mean, std, list(size), generator=_generator(seed), dtype=dtype, device=seed.device)


@bernoulli.register_fake
def _(seed: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(p)


@uniform.register_fake
def _(seed: torch.Tensor, size: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(list(size), dtype=dtype, device=seed.device)


@normal.register_fake
def _(seed: torch.Tensor, mean: float, std: float, size: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(list(size), dtype=dtype, device=seed.device)


def _draw_uniform(seed: torch.Tensor, *size: Any, dtype: torch.dtype, **options: Any) -> torch.Tensor:
    size = options.get("size", size[0] if len(size) == 1 and isinstance(size[0], Sequence) else size)
    return uniform(seed, list(size), dtype)


def _draw_normal(
    seed: torch.Tensor, mean: float, std: float, *, size: Any, dtype: torch.dtype, **_: Any
) -> torch.Tensor:
    return normal(seed, float(mean), float(std), list(size), dtype)


DRAWS: Mapping[Any, Callable[..., torch.Tensor]] = {
    torch.bernoulli: bernoulli,
    torch.rand: _draw_uniform,
    torch.normal: _draw_normal,
}
"""What torch draws from a generator, and the operation that takes its place in a graph."""
