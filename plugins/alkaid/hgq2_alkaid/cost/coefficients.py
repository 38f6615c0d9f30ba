"""Coefficients of the cost models, fitted to synthesized circuits, with the spread on trained models."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

FILE = "coefficients.json"


@dataclass(frozen=True)
class Spread:
    """How a cost model did on trained models that it was not fitted to; shares of the synthesized LUTs.

    Args:
        models: number of models.
        median: median of the absolute errors.
        ninety: 90 % of the absolute errors are smaller.
        rank: rank correlation of predicted and synthesized LUTs.
        low: 10 % of the models have fewer LUTs than this times the prediction; 1 at most.
        high: 10 % of them have more than this times the prediction; 1 at least.
    """

    models: int
    median: float
    ninety: float
    rank: float
    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]


@dataclass(frozen=True)
class CostModel:
    """A linear model of LUTs.

    Args:
        luts: LUTs for one of each kind of operation that is counted.
        spread: on trained models.
    """

    luts: Mapping[str, float]
    spread: Spread

    def of(self, counts: Mapping[str, float]) -> float:
        """Return the LUTs of counted operations; a kind that no fitted circuit had costs nothing."""
        return sum(self.luts.get(name, 0.0) * count for name, count in counts.items())


@dataclass(frozen=True)
class Coefficients:
    """Both cost models, and where they come from.

    Args:
        circuit: of the operations of a traced circuit.
        arithmetic: of the exact arithmetic of layers, before a circuit is made.
        luts_per_ebop: for a layer that states no exact arithmetic: the median of the fitted circuits.
        origin: commit, date, versions, the command of the synthesis and the number of circuits.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    circuit: CostModel
    arithmetic: CostModel
    luts_per_ebop: float
    origin: dict[str, Any]


@functools.cache
def coefficients() -> Coefficients:
    """Return the coefficients that this version comes with."""
    document = json.loads((files("hgq2_alkaid.cost") / FILE).read_text())
    return TypeAdapter(Coefficients).validate_python(document)
