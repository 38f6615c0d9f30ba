"""The error of operations that an export cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hgq2_core.errors import ExactnessError


class Unsupported(Exception):
    """An export cannot do an operation; `named` turns this into an error that names the layer."""


class Unquantized(Unsupported):
    """An operation comes before any quantizer of a model's input."""


@contextmanager
def named(path: str) -> Iterator[None]:
    """Name the place in the model where an operation was refused.

    Args:
        path: the layer's place in the model.

    Raises:
        ExactnessError: something inside is unsupported, or not implemented.
    """
    try:
        yield
    except (Unsupported, NotImplementedError) as error:
        raise ExactnessError(f"{path}: {error}") from error
