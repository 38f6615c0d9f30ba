"""Notes on classes of which a part of the data has no sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hgq2_core.data.arrays import named
from hgq2_core.data.splits import Splits
from hgq2_core.errors import listing


def notes_on_classes(splits: Splits) -> Iterator[str]:
    """Yield a sentence for training targets that are all the same, and for classes that training or test lack.

    Args:
        splits: the parts; of targets that are no labels nothing is said, nor of classes without texts.
    """
    labels = named(splits.labels, "")
    texts = named(splits.classes, "")
    for output, bounds in labels.items():
        if bounds is None:
            continue
        place = f"{output}: " if output else ""
        names = texts.get(output)
        names = () if names is None or isinstance(names, int) else tuple(map(str, names))
        found = {part: _present(splits.parts[part].y, output) for part in ("train", "test")}
        if len(found["train"]) == 1:
            only = found["train"].pop()
            name = repr(names[only]) if 0 <= only < len(names) else only
            yield f"{place}all training samples have one label, {name}; there is nothing to tell apart."
            continue
        for part, what in (("train", "training"), ("test", "test")):
            absent = [name for label, name in enumerate(names) if label not in found[part]]
            if absent:
                yield f"{place}no {what} sample has the class {listing(map(repr, absent))}."


def _present(targets: Any, output: str) -> set[int]:
    return {int(label) for label in np.unique(targets[output] if output else targets)}
