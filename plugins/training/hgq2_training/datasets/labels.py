"""Classes by name: in a config, and as labels."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, PositiveInt

from hgq2_core.schema.base import FromList

Names = Annotated[tuple[str, ...], Field(min_length=1), FromList]
Classes = PositiveInt | Names

MOST_SHOWN = 50
"""Maximal number of texts in a column that are taken for classes."""


def class_names(classes: Classes | None) -> tuple[str, ...]:
    """Return the names of classes in a config; empty if it has a number or nothing."""
    return () if classes is None or isinstance(classes, int) else tuple(classes)


def line_to_paste(texts: Iterable[str]) -> str:
    """Return, for the end of a message, a line with `classes` for a config; empty if there are too many.

    Args:
        texts: the targets, with repetitions.
    """
    found = sorted(set(texts))
    if len(found) > MOST_SHOWN:
        return ""
    return f" To paste: classes: {json.dumps(found, ensure_ascii=False)}"
