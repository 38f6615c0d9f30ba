"""The cost that a training is for: a bound, or a whole front."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from hgq2_core.schema.base import FromList, StrictModel, validation_errors

POINTS = 8
"""Models of a front that does not say how many."""
TUNING = 0.3
"""Share of the epochs in which the models of a front are tuned, unless it says how many."""


Cost = Annotated[float, Field(gt=0)]


class BudgetSection(StrictModel):
    """A bound on the calibrated cost of the saved model; training sets the price of bits so as to meet it.

    Args:
        ebops: the most EBOPs.
        luts: the most LUTs, as hgq2-alkaid predicts them, in place of EBOPs.
        metric: the metric on validation data by which the model is chosen; by default the first, or else the loss.
    """

    ebops: Cost | None = None
    luts: Cost | None = None
    metric: str | None = None

    @model_validator(mode="after")
    def _check_one(self) -> BudgetSection:
        if (self.ebops is None) == (self.luts is None):
            raise validation_errors([(("ebops",), "give the most EBOPs, or the most `luts`, and not both.")])
        return self

    @property
    def most(self) -> float:
        """The bound."""
        return float(self.luts or self.ebops or 0.0)

    @property
    def unit(self) -> str:
        """What is bounded, as messages name it."""
        return "EBOPs" if self.luts is None else "LUTs"


Count = Annotated[int, Field(ge=1)]


class FrontSection(StrictModel):
    """A front from one training: models of falling cost, each fine-tuned with its bits held.

    Args:
        points: number of models to tune, 8 by default, evenly spaced in the logarithm of the cost, from half
            to 1/32 of that at the start.
        ebops: the largest calibrated EBOPs of each, rising or falling, in place of `points`.
        finetune_epochs: epochs of each, which are among the `epochs` of the training; by default 30 % for all together.
        metric: the metric on validation data by which models are chosen; by default the first, or else the loss.
    """

    points: Count | None = None
    ebops: Annotated[tuple[Cost, ...], FromList] = ()
    finetune_epochs: Count | None = None
    metric: str | None = None

    @model_validator(mode="after")
    def _check_ebops(self) -> FrontSection:
        if self.ebops and self.points is not None:
            raise validation_errors([(("points",), "`ebops` says how many there are. Leave one of them out.")])
        if any(low == high for low, high in pairwise(sorted(self.ebops))):
            raise validation_errors([(("ebops",), "names a cost twice.")])
        return self

    @property
    def count(self) -> int:
        """How many models are tuned."""
        return len(self.ebops) or self.points or POINTS

    def tuning_epochs(self, epochs: int) -> int:
        """Return the number of epochs, of all, in which models are tuned.

        Args:
            epochs: epochs of the training.
        """
        each = self.finetune_epochs or max(1, int(TUNING * epochs / self.count))
        return each * self.count
