"""Targets and weights: labels from texts, and arrays that fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hgq2_core.data.arrays import Rows, chunks, leaves, mapped, named
from hgq2_core.data.splits import Split
from hgq2_core.errors import ConfigError, DataError, listing, nearest
from hgq2_training.datasets.labels import Names, class_names, line_to_paste
from hgq2_training.datasets.splitting import Array

Named = str | dict[str, str]
"""The name of an array; or the names of several, by those of the model's inputs or outputs."""
Get = Callable[[str], tuple[Any, str]]
"""Returns an array by its name, and its place for messages."""


def check_classes(classes: Any, outputs: Any) -> None:
    """Refuse classes of outputs that the data do not have, and names that occur twice.

    Args:
        classes: of the only output, or a mapping by output.
        outputs: the names of the targets, a mapping if there are several.

    Raises:
        ConfigError: classes and outputs do not have the same structure, or a name occurs twice.
    """
    for name, own in named(classes, "").items():
        texts = class_names(own)
        if len({*texts}) < len(texts):
            twice = sorted({text for text in texts if texts.count(text) > 1})
            raise ConfigError(f"`classes{f'.{name}' * bool(name)}` names differ. Received twice: {listing(twice)}.")
    several = isinstance(outputs, Mapping)
    if classes is None or (not several and not isinstance(classes, Mapping)):
        return
    if not isinstance(classes, Mapping):
        raise ConfigError(f"`classes` are given for each output by name. Allowed: {listing(outputs)}.")
    for name in classes:
        if not several or name not in outputs:
            allowed = listing(outputs) if several else "classes without a name"
            near = nearest(name, outputs) if several else ""
            raise ConfigError(f"`classes` names outputs. Received: {name!r}. Allowed: {allowed}.{near}")


def as_split(get: Get, x: Named, y: Named, weight: str | None, classes: Any) -> Split:
    """Return arrays as a part of a data set, checked.

    Args:
        get: returns the arrays.
        x: names of the inputs.
        y: names of the targets.
        weight: name of the sample weights.
        classes: texts of the labels, a mapping by output if there are several; None for numbers.

    Raises:
        DataError: an array cannot be used, or lengths differ.
    """

    def targets(name: str, own: Names | None) -> Any:
        array, where = get(name)
        return as_targets(array, where, own)

    own = {name: (classes or {}).get(name) for name in y} if isinstance(y, Mapping) else classes
    part = Split(as_inputs(get, x), mapped(targets, y, own), None if weight is None else as_weights(*get(weight)))
    names = [*leaves(x), *leaves(y), *([] if weight is None else [weight])]
    arrays = [*leaves(part.x), *leaves(part.y), *([] if weight is None else [part.weight])]
    for name, array in zip(names[1:], arrays[1:], strict=True):
        if len(array) != len(arrays[0]):
            raise DataError(
                f"{get(names[0])[1]} and {name!r} must have the same length. "
                f"Received: shapes {arrays[0].shape} and {array.shape}"
            )
    return part


def as_inputs(get: Get, x: Named) -> Any:
    """Return the arrays of a model's inputs, checked.

    Args:
        get: returns the arrays.
        x: their names.

    Raises:
        DataError: an array cannot be used.
    """

    def checked(name: str) -> Any:
        array, where = get(name)
        check_numbers(array, where)
        return array

    return mapped(checked, x)


def as_targets(array: Any, where: str, classes: Names | None) -> Any:
    """Return targets as numbers: int64 for integers and for texts, which become their index among the classes.

    One number for each sample is read into memory.

    Args:
        array: the targets.
        where: their place, for messages.
        classes: texts of the labels; None for numbers.
    """
    numbers = _as_numbers(array, where, classes)
    dtype = np.int64 if numbers.dtype.kind in "biu" else np.float32
    if isinstance(numbers, Rows) and len(numbers.shape) > 1:
        return numbers.changed(lambda rows: rows.astype(dtype))
    return np.asarray(numbers).astype(dtype)


def as_weights(array: Any, where: str) -> Array:
    """Return sample weights, float32.

    Raises:
        DataError: there is not one number for each sample, at least 0, or all are 0.
    """
    check_numbers(array, where)
    weights = np.asarray(array)
    if weights.ndim != 1 or (weights < 0).any() or not weights.any():
        received = f"shape {weights.shape}" if weights.ndim != 1 else f"numbers from {weights.min():g}"
        raise DataError(f"{where} must hold one weight for each sample, at least 0. Received: {received}")
    return weights.astype(np.float32)


def check_numbers(array: Any, where: str) -> None:
    """Refuse an array that is not of finite real numbers within float32; one in a file is read piece by piece.

    Raises:
        DataError: says what is wrong.
    """
    if not isinstance(array, np.ndarray | Rows) or array.dtype.kind not in "biuf":
        received = getattr(array, "dtype", type(array).__name__)
        raise DataError(f"{where} must hold real numbers. Received: dtype {received}")
    if array.ndim == 0 or 0 in array.shape:
        raise DataError(f"{where} is empty or a single number. Received: shape {array.shape}")
    if array.dtype.kind != "f":
        return
    first, bad, largest, begin = None, 0, 0.0, 0
    for chunk in chunks(array):
        wrong = ~np.isfinite(chunk)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            first, bad = first or (place[0] + begin, *place[1:]), bad + int(wrong.sum())
        else:
            largest = max(largest, float(np.abs(chunk).max()))
        begin += len(chunk)
    if bad:
        raise DataError(f"{where} holds {bad} NaN or infinite values, the first at index {first}")
    if largest > float(np.finfo(np.float32).max):
        raise DataError(f"{where} holds values beyond float32. Received: {largest}")


def _as_numbers(targets: Any, where: str, classes: Names | None) -> Any:
    if not isinstance(targets, np.ndarray | Rows) or targets.dtype.kind not in "US":
        if classes is not None:
            received = getattr(targets, "dtype", type(targets).__name__)
            raise DataError(f"{where} must hold text, for `classes` names what it holds. Received: dtype {received}")
        check_numbers(targets, where)
        return targets
    texts = np.asarray(targets).astype(str)
    if texts.ndim != 1 or not texts.size:
        raise DataError(f"{where} must hold one class per sample. Received: shape {texts.shape}")
    if classes is None:
        raise DataError(
            f"{where} holds text; `classes` names its classes. Received: {str(texts[0])!r}."
            f"{line_to_paste(texts.tolist())}"
        )
    places = {name: place for place, name in enumerate(classes)}
    for text in np.unique(texts).tolist():
        if text not in places:
            allowed = ", ".join(classes)
            raise DataError(f"{where}: no such class. Received: {text!r}. Allowed: {allowed}.{nearest(text, classes)}")
    return np.array([places[text] for text in texts.tolist()], dtype=np.int64)
