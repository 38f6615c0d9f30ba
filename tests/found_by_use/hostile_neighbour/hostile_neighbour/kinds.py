"""Classes that do not follow the protocols of their groups."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from hgq2_core import QLayer


class Plain:
    """Of no base, without a single method."""


class LaxQuantizer(BaseModel):
    """Takes whatever it is given."""

    b: int = 8


class Options(BaseModel):
    """Takes whatever it is given."""

    depth: int = 1


class ForgetsItsCost(QLayer):
    """A layer that states no cost."""

    def call(self, inputs: Any) -> Any:
        return inputs

    def exact(self, arrays: Any, *inputs: Any) -> Any:
        return inputs[0]


class Free(ForgetsItsCost):
    """A layer that says it is free."""

    def ebops(self) -> Any:
        return 0.0


class LaxLayer(Free):
    """A layer with an argument whose schema passes over mistakes."""

    def __init__(self, options: Options | None = None, **kwargs: Any) -> None:
        self.options = options
        super().__init__(**kwargs)


class UntypedLayer(Free):
    """A layer with an argument of no type."""

    def __init__(self, gain=1.0, **kwargs: Any) -> None:  # type: ignore[no-untyped-def]
        self.gain = gain
        super().__init__(**kwargs)


class LaxData(BaseModel):
    """A data set that takes whatever it is given."""

    path: str = ""

    def load(self) -> Any:
        return self.path
