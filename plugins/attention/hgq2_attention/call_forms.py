"""The forms in which attention is called and built: query, value and key, of which the later ones may be left out."""

from __future__ import annotations

from typing import Any

from hgq2_core import ConfigError

Shape = tuple[int | None, ...]


def triple(query: Any, value: Any, key: Any) -> tuple[Any, Any, Any]:
    """Return query, value and key; all may come as a list in place of the query."""
    if isinstance(query, list):
        return triple(*query, *(None,) * (3 - len(query)))
    value = query if value is None else value
    return query, value, value if key is None else key


def shapes(query: Any, value: Any, key: Any) -> tuple[Shape, Shape, Shape]:
    """Return the shapes of query, value and key; all may come as a list in place of the query's."""
    # A file keeps a shape as a list of sizes, which is no list of shapes.
    several = isinstance(query[0], list | tuple)
    first, second, third = triple([tuple(each) for each in query] if several else tuple(query), value, key)
    return tuple(first), tuple(second), tuple(third)


def require_static(name: str, what: str, shape: Shape) -> None:
    """Refuse a shape in which a size besides the batch's is not static.

    Raises:
        ConfigError: such a shape.
    """
    if len(shape) < 3 or None in shape[1:]:
        raise ConfigError(
            f"{name}: {what} needs the axes (batch, ..., positions, features), all but the batch of static size. "
            f"Received: shape {shape}."
        )
