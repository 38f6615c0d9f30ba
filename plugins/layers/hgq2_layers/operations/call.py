"""The call of an operation as plain data, for configs and files: which arguments are tensors, and what the others are.

`"input"` stands for the next tensor, and `{"constant": values}` for an array of numbers; a key of `x[key]` is a text,
such as `"[:, 1:]"`. Everything else is itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from hgq2_core import ConfigError
from hgq2_core.layers.operations import with_few_bits

INPUT, CONSTANT = "input", "constant"


def described(args: Sequence[Any]) -> list[Any]:
    """Return the arguments of a call in a graph as plain data."""
    return [_plain(value) for value in args]


def _plain(value: Any) -> Any:
    if isinstance(value, keras.KerasTensor):
        return INPUT
    if isinstance(value, list | tuple):
        is_key = any(isinstance(each, slice) or each is Ellipsis or each is None for each in value)
        return _key_text(value) if is_key else [_plain(each) for each in value]
    if isinstance(value, slice) or value is Ellipsis:
        return _key_text((value,))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) or keras.ops.is_tensor(value):
        return {CONSTANT: np.asarray(keras.ops.convert_to_numpy(value)).tolist()}
    return value


def _key_text(items: Sequence[Any]) -> str:
    return f"[{', '.join(map(_item_text, items))}]"


def _item_text(item: Any) -> str:
    if isinstance(item, slice):
        parts = [item.start, item.stop, item.step]
        return ":".join("" if part is None else str(part) for part in parts[: 2 if item.step is None else 3])
    return "..." if item is Ellipsis else str(item)


def filled(template: Any, tensors: Iterator[Any], dtype: str) -> Any:
    """Return arguments with tensors in their places.

    Args:
        template: see `described`.
        tensors: in their order.
        dtype: of constants that are no integers.
    """
    if isinstance(template, list):
        return [filled(each, tensors, dtype) for each in template]
    if isinstance(template, dict):
        values = np.asarray(template[CONSTANT])
        return values if values.dtype.kind in "iub" else values.astype(dtype)
    if template == INPUT:
        return next(tensors)
    return parsed_key(template) if isinstance(template, str) else template


def rounded(template: Any, bits: int) -> Any:
    """Return arguments whose constants have few bits: multiples of the step that the largest of an array has then.

    Args:
        template: see `described`.
        bits: of the largest magnitude, from its highest to its last.
    """
    if isinstance(template, list):
        return [rounded(each, bits) for each in template]
    constant = template[CONSTANT] if isinstance(template, dict) else template
    if isinstance(constant, str | None) or np.asarray(constant).dtype.kind != "f":
        return template
    values = np.asarray(with_few_bits(np.asarray(constant), bits)).tolist()
    return {CONSTANT: values} if isinstance(template, dict) else values


def constants_in(template: Any) -> list[Any]:
    """Return the numbers of all constants, see `described`."""
    if isinstance(template, list):
        return [number for each in template for number in constants_in(each)]
    values = template[CONSTANT] if isinstance(template, dict) else template
    return [] if isinstance(values, str | None) else np.ravel(values).tolist()


def parsed_key(text: str) -> tuple[Any, ...]:
    """Return the key of `x[key]` that a text such as `"[:, 1:]"` describes.

    Raises:
        ConfigError: the text describes none.
    """
    if not (text.startswith("[") and text.endswith("]")):
        raise ConfigError(
            f"an operand is 'input', a number, a list, {{{CONSTANT}: …}}, or a key such as '[:, 1:]'. "
            f"Received: {text!r}."
        )
    return tuple(_item(part.strip(), text) for part in text[1:-1].split(","))


def _item(text: str, key: str) -> Any:
    if text in ("...", "None"):
        return Ellipsis if text == "..." else None
    try:
        parts = [int(part) if part.strip() else None for part in text.split(":")]
    except ValueError as error:
        raise ConfigError(f"a key has integers, slices, `...` and None. Received: {key!r}.") from error
    return slice(*parts) if len(parts) > 1 else parts[0]


def inputs_in(template: Any) -> int:
    """Return how many tensors a template takes."""
    if isinstance(template, list):
        return sum(map(inputs_in, template))
    return int(template == INPUT)
