"""The map from raw data to a model's inputs: clipping, logarithm, filling, categories and standardization."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hgq2_core.data.arrays import Arrays, mapped
from hgq2_core.data.columns import Columns
from hgq2_core.data.standardization import Standardization
from hgq2_core.errors import DataError, listing

Array = NDArray[Any]


class Step(Protocol):
    """One step of a preprocessing: called with raw values, float64, samples first."""

    def __call__(self, x: Any) -> Array:
        """Return the changed values."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""


@dataclass(frozen=True, eq=False)
class Fill:
    """Replaces missing values, which are NaN.

    Args:
        values: the value of each element of a sample.
    """

    values: Array

    def __call__(self, x: ArrayLike) -> Array:
        """Return the values, filled."""
        raw = np.asarray(x, dtype=np.float64)
        return np.where(np.isnan(raw), self.values, raw)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"values": self.values.tolist()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Fill:
        """Return the step that plain data describe."""
        return cls(np.asarray(document["values"], dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Clip:
    """Limits values.

    Args:
        low: the smallest value of each element of a sample; a number holds for all.
        high: the largest.
    """

    low: Array
    high: Array

    def __call__(self, x: ArrayLike) -> Array:
        """Return the values, limited."""
        return np.clip(np.asarray(x, dtype=np.float64), self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; no limit is null."""
        return {"low": _finite_or_null(self.low), "high": _finite_or_null(self.high)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Clip:
        """Return the step that plain data describe."""
        return cls(_or(document["low"], -np.inf), _or(document["high"], np.inf))


@dataclass(frozen=True, eq=False)
class Log:
    """Takes the natural logarithm.

    Args:
        where: whether to, for each element of a sample; one truth value holds for all.
        names: of the elements, for messages.
    """

    where: NDArray[np.bool_]
    names: tuple[str, ...] = ()

    def __call__(self, x: ArrayLike) -> Array:
        """Return the logarithms.

        Raises:
            DataError: a value is 0 or less.
        """
        raw = np.asarray(x, dtype=np.float64)
        bad = self.where & (raw <= 0)
        if bad.any():
            place = tuple(int(each) for each in np.argwhere(bad)[0])
            name = f"{self.names[place[-1]]!r}" if self.names else "the inputs"
            raise DataError(
                f"log: takes numbers above 0; `clip` gives {name} a lower limit. "
                f"Received: {raw[place]:g} in sample {place[0]}."
            )
        return np.where(self.where, np.log(np.where(self.where, raw, 1.0)), raw)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"where": self.where.tolist(), **({"names": list(self.names)} if self.names else {})}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Log:
        """Return the step that plain data describe."""
        return cls(np.asarray(document["where"], dtype=bool), tuple(document.get("names", ())))


KINDS: Mapping[str, Any] = {
    "columns": Columns,
    "fill": Fill,
    "clip": Clip,
    "log": Log,
    "standardize": Standardization,
}
"""The steps by the names that plain data give them."""


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """The map from raw data to a model's inputs, which is a part of every run.

    Args:
        steps: of each input by name, in the order in which they are applied; or those of the only input.
    """

    steps: Mapping[str, Sequence[Step]] | Sequence[Step]

    def apply(self, raw: Any) -> Arrays:
        """Return a model's inputs for raw data.

        Args:
            raw: an array, or a mapping of arrays by the names of inputs, samples first. For a table, a mapping of
                columns, each a sequence of numbers or texts, in which other columns may be present.

        Returns:
            float32 arrays of the structure that the model was trained on.

        Raises:
            DataError: an input or a column is missing, or a value cannot be used.
        """
        if not isinstance(self.steps, Mapping):
            return applied(self.steps, _only(raw, self.steps))
        return {name: applied(steps, _input(raw, name, steps)) for name, steps in self.steps.items()}

    @property
    def layouts(self) -> dict[str, Columns]:
        """The columns of each input, if raw data are columns of a table; that of the only input has the name ""."""
        every = self.steps if isinstance(self.steps, Mapping) else {"": self.steps}
        return {name: steps[0] for name, steps in every.items() if steps and isinstance(steps[0], Columns)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for `from_dict`."""
        if isinstance(self.steps, Mapping):
            return {"inputs": {name: _as_data(steps) for name, steps in self.steps.items()}}
        return {"input": _as_data(self.steps)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Preprocessing:
        """Return the preprocessing that plain data describe.

        Raises:
            DataError: the data describe none.
        """
        try:
            if "input" in document:
                return cls(_from_data(document["input"]))
            return cls({str(name): _from_data(steps) for name, steps in document["inputs"].items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"preprocessing: must hold the steps of each input. {error!r}") from error


def applied(steps: Sequence[Step], raw: Any) -> NDArray[np.float32]:
    """Return raw values after all steps.

    Args:
        steps: in order.
        raw: an array; or columns, for steps that begin with `Columns`.
    """
    result: NDArray[np.float32] = np.asarray(stepped(steps, raw)).astype(np.float32)
    return result


def stepped(steps: Sequence[Step], raw: Any) -> Any:
    """Return raw values after all steps, in float64; unchanged without steps."""
    for step in steps:
        raw = step(raw)
    return raw


def as_change(steps: Sequence[Step]) -> Callable[[Array], Array]:
    """Return a function of an array that applies steps."""
    return partial(applied, tuple(steps))


def standardizations(steps: Mapping[str, Sequence[Step]] | Sequence[Step]) -> Any:
    """Return the standardization of each input, None without one."""

    def last(own: Sequence[Step]) -> Standardization | None:
        return next((step for step in own if isinstance(step, Standardization)), None)

    return mapped(last, dict(steps)) if isinstance(steps, Mapping) else last(steps)


def _takes_columns(steps: Sequence[Step]) -> bool:
    return bool(steps) and isinstance(steps[0], Columns)


def _only(raw: Any, steps: Sequence[Step]) -> Any:
    if not isinstance(raw, Mapping) or _takes_columns(steps):
        return raw
    if len(raw) != 1:
        raise DataError(f"preprocessing: takes one input. Received: {listing(raw)}.")
    return next(iter(raw.values()))


def _input(raw: Any, name: str, steps: Sequence[Step]) -> Any:
    if _takes_columns(steps):
        return raw
    if not isinstance(raw, Mapping) or name not in raw:
        received = listing(raw) if isinstance(raw, Mapping) else type(raw).__name__
        raise DataError(f"preprocessing: no data for input {name!r}. Received: {received}.")
    return raw[name]


def _as_data(steps: Sequence[Step]) -> list[dict[str, Any]]:
    kinds = {cls: kind for kind, cls in KINDS.items()}
    return [{"kind": kinds[type(step)], **step.to_dict()} for step in steps]


def _from_data(steps: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    return tuple(KINDS[step["kind"]].from_dict(step) for step in steps)


def _finite_or_null(limits: Array) -> Any:
    found = [each if np.isfinite(each) else None for each in limits.ravel().tolist()]
    return found[0] if limits.ndim == 0 else found


def _or(limits: Any, missing: float) -> Array:
    flat = limits if isinstance(limits, list) else [limits]
    found = np.array([missing if each is None else each for each in flat], dtype=np.float64)
    return found if isinstance(limits, list) else found[0]
