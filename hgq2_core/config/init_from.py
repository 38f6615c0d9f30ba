"""The run that a training starts from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hgq2_core.schema.base import StrictModel


class InitFrom(StrictModel):
    """A run whose weights and bits a training starts from.

    Args:
        run: the run directory.
        front: a model of its front, by its number in rising EBOPs or as `best`; None for the model of the run.
    """

    run: Annotated[str, Field(min_length=1)]
    front: Annotated[int, Field(ge=0)] | Literal["best"] | None = None


def as_init_from(given: Any) -> Any:
    """Return the name of a run directory as a mapping; other values are returned unchanged."""
    return {"run": given} if isinstance(given, str) else given
