"""Names of the layers that a conversion adds to those of the user."""

from __future__ import annotations

import itertools
from collections.abc import Collection


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return a name that no layer has, as Keras refuses a graph with one name twice.

    Args:
        wanted: the name; if it is taken, a number from 2 on follows it.
        taken: the names that there are.
    """
    numbered = (f"{wanted}_{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([wanted], numbered) if name not in taken)
