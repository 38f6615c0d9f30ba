"""The bound on the cost of the model that a training ends with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hgq2_core.schema.base import StrictModel


class BudgetSection(StrictModel):
    """A bound on the calibrated cost of the saved model; training sets the price of bits so as to meet it.

    Args:
        ebops: the most EBOPs.
    """

    ebops: Annotated[float, Field(gt=0)]
