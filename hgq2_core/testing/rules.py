"""Checks, how they are run, and the functions that rules share."""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import subprocess
import sys
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
from hgq2_core.schema.versions import VERSION, migrated

S = TypeVar("S")
Floats = npt.NDArray[np.float32]

SEED = 20
SHOWN = 8
"""Number of values that an example shows of a sample."""
HEAVY = ("keras", "torch", "jax", "tensorflow")
COLOURS = re.compile(r"\x1b\[\d+m")
"""Terminal codes, in which Keras writes parts of its errors bold."""
MAX_TEXT = 300
"""Limit on the characters shown of a plugin's error; the cause has the whole first one."""


@dataclass(frozen=True)
class Check:
    """A rule for one subject; calling it runs the check.

    Args:
        id: the rule's name, for `parametrize_with_checks` and `-k`.
        statement: the rule, in one sentence.
        run: raises if the rule is broken.
        after: id of a check whose failure this one would only repeat.
    """

    id: str
    statement: str
    run: Callable[[], None]
    after: str = ""

    def __call__(self) -> None:
        """Check the rule; the random generators of the process keep their state.

        Raises:
            ConformanceError: the rule is broken.
        """
        try:
            with preserve_rng():
                self.run()
        except Exception as error:  # a plugin may raise any error
            raise ConformanceError(f"{self.statement} {_format_error(error)}") from error


def checks(rules: Iterable[Callable[[S], None]], subject: S, after: str = "") -> Iterator[Check]:
    """Yield a check for each rule, a function whose docstring states the rule and which raises if it is broken.

    Args:
        rules: the functions.
        subject: the argument of each function.
        after: see `Check`.
    """
    for rule in rules:
        statement = (inspect.getdoc(rule) or rule.__name__).splitlines()[0]
        yield Check(rule.__name__, statement, functools.partial(rule, subject), after)


def run(name: str, items: Iterable[Check]) -> None:
    """Run checks, each on its own, and report all broken rules at once.

    Args:
        name: name of the subject, for the message.
        items: the checks.

    Raises:
        ConformanceError: rules are broken; the message has a line for each, and the first is the cause.
    """
    broken: dict[str, ConformanceError] = {}
    unmet: set[str] = set()
    for item in items:
        if item.after in unmet:
            unmet.add(item.id)
            continue
        try:
            item()
        except ConformanceError as error:
            broken[item.id] = error
            unmet.add(item.id)
    if broken:
        lines = [f"  {error}" for error in broken.values()]
        first = next(iter(broken.values()))
        raise ConformanceError("\n".join([f"{name} breaks rules of the conformance kit:", *lines])) from first.__cause__


def _format_error(error: Exception) -> str:
    if isinstance(error, ConformanceError):
        return str(error)
    text = " ".join(COLOURS.sub("", str(error)).split())
    return f"{type(error).__name__}: {text[:MAX_TEXT]}"


def require(holds: Any, finding: str) -> None:
    """Raise a ConformanceError with the finding, unless the rule holds."""
    if not holds:
        raise ConformanceError(finding)


def refuses(schema: type[BaseModel], arguments: Mapping[str, Any], **wrong: Any) -> None:
    """Require that a schema refuses arguments after some are replaced by wrong ones."""
    try:
        schema.model_validate({**arguments, **wrong})
    except ValueError:  # of pydantic, or a ConfigError
        return
    raise ConformanceError(", ".join(f"{name}={value!r}" for name, value in wrong.items()) + " was accepted.")


def strict(schema: type[BaseModel], arguments: Mapping[str, Any]) -> None:
    """Require that a schema refuses unknown names, text for numbers, and NaN."""
    refuses(schema, arguments, no_such_argument=1)
    for name, value in arguments.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            refuses(schema, arguments, **{name: str(value)})
            refuses(schema, arguments, **{name: float("nan")})


def leaves_present_names(cls: type[Any], arguments: Mapping[str, Any]) -> None:
    """Require that a class with a schema version beyond the first migrates, and leaves present names alone."""
    current = getattr(cls, VERSION, 1)
    require(type(current) is int and current >= 1, f"{VERSION} must be a positive integer. Received: {current!r}.")
    for version in range(1, current):
        found = migrated(cls, cls.__name__, {VERSION: version, **arguments})
        require(found == dict(arguments), f"migrate(arguments, {version}) made {found} of {dict(arguments)}.")


def described(schema: type[BaseModel]) -> None:
    """Require that a model has a JSON schema with every field."""
    properties = json.loads(json.dumps(schema.model_json_schema())).get("properties", {})
    missing = sorted(set(schema.model_fields) - set(properties))
    require(not missing, f"It leaves out {', '.join(missing)}.")


def samples(*shape: int, spread: bool = False) -> Floats:
    """Return random values; if `spread`, over many magnitudes, so that they reach every region of a format."""
    rng = np.random.default_rng(SEED)
    values = rng.normal(size=shape) * (np.exp2(rng.uniform(-10, 8, size=shape)) if spread else 3.0)
    return values.astype(np.float32)


def numpy(tensor: Any) -> npt.NDArray[Any]:
    """Return a tensor's values as a numpy array."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def differing(got: npt.NDArray[Any], wanted: npt.NDArray[Any], inputs: npt.NDArray[Any] | None = None) -> str:
    """Return a message with the number of values that differ, and the first of them; empty if none does.

    Args:
        got: the computed values.
        wanted: the expected values.
        inputs: the inputs from which each value, or each sample of the first axis, was computed.
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
    """Return the variables that the gradient of a scalar does not reach, by name, with the gradient: `None` or `0`."""
    found = known_gradients(compute, variables)
    return {
        variable.name: "None" if gradient is None else "0"
        for variable, gradient in zip(variables, found, strict=True)
        if gradient is None or not np.any(gradient)
    }


def gradients_of(unreached: Mapping[str, str]) -> str:
    """Return the result of `unreached` as text for a message."""
    return ", ".join(f"that of {name} is {gradient}" for name, gradient in unreached.items())


def without_backend(module: str) -> None:
    """Require that a module, imported alone in a process of its own, imports no backend."""
    script = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    require(process.returncode == 0, f"{module} cannot be imported alone: {process.stderr.strip()[-300:]}")
    require(not process.stdout.strip(), f"{module} imports {', '.join(process.stdout.split())}.")
