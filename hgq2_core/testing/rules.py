"""How rules are checked: each on its own, and all that are broken are told at once."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from hgq2_core.errors import ConformanceError

S = TypeVar("S")
Floats = npt.NDArray[np.float32]

SEED = 20
MAX_TEXT = 300
"""Characters of a plugin's own error; all of the first one is in the cause."""


def check(name: str, subject: S, rules: Iterable[Callable[[S], None]]) -> None:
    """Check rules, each a function whose docstring states it; it raises whatever it finds.

    Args:
        name: of what is checked, for the message.
        subject: what each rule is called with.
        rules: the functions.

    Raises:
        ConformanceError: a line for each rule that is broken; caused by the first.
    """
    broken: dict[str, Exception] = {}
    for rule in rules:
        try:
            rule(subject)
        except Exception as error:  # a plugin may fail in whatever way
            broken[(inspect.getdoc(rule) or rule.__name__).splitlines()[0]] = error
    if broken:
        lines = [f"  {rule} {_phrase(error)}" for rule, error in broken.items()]
        raise ConformanceError("\n".join([f"{name} breaks rules of the conformance kit:", *lines])) from next(
            iter(broken.values())
        )


def _phrase(error: Exception) -> str:
    if isinstance(error, ConformanceError):
        return str(error)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:MAX_TEXT]}"


def require(holds: Any, finding: str) -> None:
    """Raise what was found, unless the rule holds."""
    if not holds:
        raise ConformanceError(finding)


def refuses(schema: type[BaseModel], arguments: Mapping[str, Any], **wrong: Any) -> None:
    """Require that a schema refuses arguments once some are replaced by wrong ones."""
    try:
        schema.model_validate({**arguments, **wrong})
    except ValueError:  # pydantic's own, and ours
        return
    raise ConformanceError(", ".join(f"{name}={value!r}" for name, value in wrong.items()) + " was accepted.")


def strict(schema: type[BaseModel], arguments: Mapping[str, Any]) -> None:
    """Require that a schema takes no unknown name, no text for a number, and no NaN."""
    refuses(schema, arguments, no_such_argument=1)
    for name, value in arguments.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            refuses(schema, arguments, **{name: str(value)})
            refuses(schema, arguments, **{name: float("nan")})


def described(schema: type[BaseModel]) -> None:
    """Require that a JSON schema can be made, with every field in it."""
    properties = json.loads(json.dumps(schema.model_json_schema())).get("properties", {})
    missing = sorted(set(schema.model_fields) - set(properties))
    require(not missing, f"It leaves out {', '.join(missing)}.")


def samples(*shape: int, spread: bool = False) -> Floats:
    """Give random values; spread over many magnitudes on request, so that every region of a format is met."""
    rng = np.random.default_rng(SEED)
    values = rng.normal(size=shape) * (np.exp2(rng.uniform(-10, 8, size=shape)) if spread else 3.0)
    return values.astype(np.float32)


def numpy(tensor: Any) -> npt.NDArray[Any]:
    """Give a tensor's values as a numpy array."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def differing(got: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> str:
    """Count the values that differ, for a message; empty where none does."""
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f"{got.dtype}{got.shape} instead of {wanted.dtype}{wanted.shape}."
    different = int(np.sum(got != wanted))
    return f"{different} of {wanted.size} values differ." if different else ""
