"""The values that a sweep tries: for each path of the config a range or a list of choices."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from hgq2_core.config.overrides import set_value
from hgq2_core.schema.base import FromList, StrictModel, as_yaml, validation_error

Number = int | float


class Parameter(StrictModel):
    """The values of one field: a range, or a list of choices.

    Args:
        low: the smallest value; with `high`, both integers for an integer field.
        high: the largest value.
        log: whether to choose evenly by the logarithm.
        step: distance between values, counted from `low`.
        choices: the values themselves, in place of a range; plain data of any shape.
    """

    low: Number | None = None
    high: Number | None = None
    log: bool = False
    step: Number | None = None
    choices: Annotated[tuple[Any, ...], FromList, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.choices is None:
            self._check_range()
        elif self.model_fields_set != {"choices"}:
            raise validation_error("has both `choices` and a range (`low`, `high`, `log`, `step`). Leave one out.")
        elif len(set(map(as_yaml, self.choices))) < len(self.choices):
            raise validation_error(f"`choices` must differ. Received: {as_yaml(self.choices)}.")
        return self

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            raise validation_error("needs `low` and `high`, or `choices`.")
        if not self.low < self.high:
            raise validation_error(f"`low` must be below `high`. Received: low={self.low}, high={self.high}.")
        if self.log and (self.low <= 0 or self.step is not None):
            raise validation_error(
                "`log` needs a positive `low`, and goes without `step`. "
                f"Received: low={self.low}, step={as_yaml(self.step)}."
            )
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise validation_error(f"`step` must be positive and fit into the range. Received: {self.step}.")
        if self.is_integer and isinstance(self.step, float):
            raise validation_error(f"`step` of a range of integers must be one. Received: {self.step}.")

    @property
    def is_integer(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def extremes(self) -> Iterator[tuple[str, Any]]:
        """The values at the ends of the range, or all choices, each with its place in the sweep file."""
        if self.choices is None:
            yield from (("low", self.low), ("high", self.high))
        else:
            yield from ((f"choices.{index}", value) for index, value in enumerate(self.choices))

    @property
    def labels(self) -> list[Any]:
        """What stands for the choices in the study: themselves, or as JSON where one is a list, a mapping or null."""
        choices = list(self.choices or ())
        plain = all(isinstance(value, bool | int | float | str) for value in choices)
        # True == 1 == 1.0, and Optuna compares choices with ==.
        return choices if plain and len(set(choices)) == len(choices) else [json.dumps(value) for value in choices]

    def distribution(self) -> Any:
        """Return Optuna's distribution."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution(self.labels)
        if self.is_integer:
            return IntDistribution(self.low, self.high, log=self.log, step=1 if self.step is None else self.step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def value(self, proposed: Any) -> Any:
        """Return the value of the config for what the study proposes."""
        return proposed if self.choices is None else self.choices[self.labels.index(proposed)]


Space = Mapping[str, Parameter]
"""Paths in a model's config, as `--set` takes them, and their values."""


def apply(document: Mapping[str, Any], values: Mapping[str, Any], where: str = "sweep.space") -> dict[str, Any]:
    """Return a copy of a config document with these values at these paths; the result is not checked yet.

    Args:
        document: a model's config, as plain data.
        values: path to value.
        where: what names the paths, for messages.

    Raises:
        ConfigError: a path does not exist.
    """
    changed = copy.deepcopy(dict(document))
    for path, value in values.items():
        if path.startswith("defaults."):
            changed.setdefault("defaults", {})
        set_value(changed, path, copy.deepcopy(value), f"{where}.{path}")
    return changed


def config_values(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the config for what the study proposes, by path."""
    return {path: space[path].value(proposed) for path, proposed in params.items()}
