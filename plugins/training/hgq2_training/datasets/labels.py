"""Classes by name: how a config lists them, and what they become."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, PositiveInt

from hgq2_core.schema.base import FromList

Names = Annotated[tuple[str, ...], Field(min_length=1), FromList]
Classes = PositiveInt | Names

MOST_SHOWN = 50
"""A column of more texts than these holds no classes."""


def class_names(classes: Classes | None) -> tuple[str, ...]:
    """Return the names that a config lists; none if it says how many, or nothing."""
    return () if classes is None or isinstance(classes, int) else tuple(classes)


def line_to_paste(texts: Iterable[str]) -> str:
    """Return the end of a message: the `classes` of a config for these texts; empty if they are too many.

    Args:
        texts: the targets, as often as they occur.
    """
    found = sorted(set(texts))
    if len(found) > MOST_SHOWN:
        return ""
    return f" To paste: classes: {json.dumps(found, ensure_ascii=False)}"
