"""What a check is, how many are run, and what their rules share."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from hgq2_core.diagnosis.gradients import known_gradients
from hgq2_core.errors import ConformanceError
from hgq2_core.keras_graph.random_state import preserve_rng

S = TypeVar("S")
Floats = npt.NDArray[np.float32]

SEED = 20
SHOWN = 8
"""Numbers of a sample that an example shows."""
MAX_TEXT = 300
"""Characters of a plugin's own error; all of the first one is in the cause."""


@dataclass(frozen=True)
class Check:
    """One rule, to be checked on one subject; call it.

    Args:
        id: the rule's name, for `parametrize_with_checks` and `-k`.
        statement: the rule, in one sentence.
        run: raises whatever it finds.
        after: id of the check without which this one would only say the same.
    """

    id: str
    statement: str
    run: Callable[[], None]
    after: str = ""

    def __call__(self) -> None:
        """Check the rule; the random streams of the process stay where they are.

        Raises:
            ConformanceError: the rule is broken.
        """
        try:
            with preserve_rng():
                self.run()
        except Exception as error:  # a plugin may fail in whatever way
            raise ConformanceError(f"{self.statement} {_format_error(error)}") from error


def checks(rules: Iterable[Callable[[S], None]], subject: S, after: str = "") -> Iterator[Check]:
    """Make a check of each rule: a function whose docstring states it, and which raises whatever it finds.

    Args:
        rules: the functions.
        subject: what each is called with.
        after: see `Check`.
    """
    for rule in rules:
        statement = (inspect.getdoc(rule) or rule.__name__).splitlines()[0]
        yield Check(rule.__name__, statement, functools.partial(rule, subject), after)


def run(name: str, items: Iterable[Check]) -> None:
    """Run checks, each on its own; all that are broken are named at once.

    Args:
        name: of what is checked, for the message.
        items: the checks.

    Raises:
        ConformanceError: a line for each rule that is broken; caused by the first.
    """
    broken: dict[str, ConformanceError] = {}
    for item in items:
        if item.after not in broken:
            try:
                item()
            except ConformanceError as error:
                broken[item.id] = error
    if broken:
        lines = [f"  {error}" for error in broken.values()]
        first = next(iter(broken.values()))
        raise ConformanceError("\n".join([f"{name} breaks rules of the conformance kit:", *lines])) from first.__cause__


def _format_error(error: Exception) -> str:
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
    """Return random values; spread over many magnitudes on request, so that every region of a format is met."""
    rng = np.random.default_rng(SEED)
    values = rng.normal(size=shape) * (np.exp2(rng.uniform(-10, 8, size=shape)) if spread else 3.0)
    return values.astype(np.float32)


def numpy(tensor: Any) -> npt.NDArray[Any]:
    """Return a tensor's values as a numpy array."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def differing(got: npt.NDArray[Any], wanted: npt.NDArray[Any], inputs: npt.NDArray[Any] | None = None) -> str:
    """Count the values that differ, with the first of them, for a message; empty where none does.

    Args:
        got: by one way.
        wanted: by the other.
        inputs: what each value, or else each sample of the first axis, was computed from.
    """
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f"{got.dtype}{got.shape} instead of {wanted.dtype}{wanted.shape}."
    different = np.argwhere(got != wanted)
    if not len(different):
        return ""
    first = tuple(different[0])
    found = f"{len(different)} of {wanted.size} values differ, such as {got[first]:g} for {wanted[first]:g}"
    if inputs is None:
        return f"{found}."
    if inputs.shape == got.shape:
        return f"{found}, of the input {inputs[first]:g}."
    sample = inputs[first[0]].ravel()
    more = ", …" if sample.size > SHOWN else ""
    return f"{found}, of the inputs {', '.join(f'{value:g}' for value in sample[:SHOWN])}{more}."


def unreached(compute: Callable[[], Any], variables: Sequence[keras.Variable]) -> dict[str, str]:
    """Return, by name, the variables that the gradient of a scalar does not reach: `None` or `0`."""
    found = known_gradients(compute, variables)
    return {
        variable.name: "None" if gradient is None else "0"
        for variable, gradient in zip(variables, found, strict=True)
        if gradient is None or not np.any(gradient)
    }


def gradients_of(unreached: Mapping[str, str]) -> str:
    """Phrase for a message what `unreached` found."""
    return ", ".join(f"that of {name} is {gradient}" for name, gradient in unreached.items())
