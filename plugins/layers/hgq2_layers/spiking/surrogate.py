"""What stands in for the derivative of a spike in training: by name, or a function of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import keras
from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import override

from hgq2_core.errors import listing, nearest
from hgq2_core.ops import Tensor
from hgq2_core.schema.base import as_text, validation_error
from hgq2_layers.activations.elementwise import Elementwise


@dataclass(frozen=True)
class Surrogate:
    """The derivative of a spike, as a function of the potential above the threshold.

    Args:
        slope: where the user gives none.
        derivative: of z = u - threshold, and of the slope.
    """

    slope: float
    derivative: Callable[[Tensor, float], Tensor]


def _sigmoid(z: Tensor, slope: float) -> Tensor:
    s = keras.ops.sigmoid(slope * z)
    return slope * s * (1.0 - s)


SURROGATES: Mapping[str, Surrogate] = {
    "fast_sigmoid": Surrogate(25.0, lambda z, slope: 1.0 / keras.ops.square(1.0 + slope * keras.ops.abs(z))),
    "arctan": Surrogate(2.0, lambda z, slope: slope / 2.0 / (1.0 + keras.ops.square(math.pi / 2 * slope * z))),
    "sigmoid": Surrogate(25.0, _sigmoid),
    "triangular": Surrogate(1.0, lambda z, slope: slope * keras.ops.relu(1.0 - slope * keras.ops.abs(z))),
    "straight_through": Surrogate(1.0, lambda z, slope: slope * keras.ops.ones_like(z)),
}
"""1 / (1 + slope |z|)^2, of Zenke and Ganguli, SuperSpike, Neural Computation 30 (2018);
(slope / 2) / (1 + (pi slope z / 2)^2), of Fang et al., Incorporating Learnable Membrane Time Constant, ICCV (2021); the
derivative of sigmoid(slope z); slope max(0, 1 - slope |z|), a triangle of area 1; and slope."""


@dataclass(frozen=True)
class SurrogateField(Elementwise):
    """The name of a surrogate, or a function of z = u - threshold that is registered with Keras."""

    @override
    def _found(self, value: Any) -> Any:
        if not isinstance(value, str):
            return super()._found(value)
        if value not in SURROGATES:
            raise validation_error(
                f"not allowed. Received: {as_text(value)}. Allowed: {listing(SURROGATES)}, or a function of z that is "
                f"registered with Keras.{nearest(value, SURROGATES)}"
            )
        return lambda z: SURROGATES[value].derivative(z, SURROGATES[value].slope)

    @override
    def resolve(self, value: Any) -> Any:
        """Return a name itself, or the function."""
        return value if isinstance(value, str) else super().resolve(value)

    @override
    def to_config(self, value: Any) -> Any:
        """Return a name itself, or Keras' form of the function."""
        return value if isinstance(value, str) else super().to_config(value)

    @override
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"enum": list(SURROGATES), "description": "The derivative of a spike in training."}


SurrogateArg = Annotated[Any, SurrogateField()]


class Spike:
    """s = 1 where z > 0, and 0 elsewhere.

    Args:
        surrogate: a name, or a function of z.
        slope: of a surrogate by name; None for its own.
    """

    def __init__(self, surrogate: Any, slope: float | None) -> None:
        self.surrogate, self.slope = surrogate, slope

    def derivative(self, z: Tensor) -> Tensor:
        """Return what stands in for the derivative."""
        if not isinstance(self.surrogate, str):
            return self.surrogate(z)
        known = SURROGATES[self.surrogate]
        return known.derivative(z, self.slope or known.slope)

    def __call__(self, q: Tensor, training: bool) -> Tensor:
        """Return spikes, with the surrogate's gradient in training."""
        spikes = keras.ops.cast(q > 0, q.dtype)
        if not training:
            return spikes
        slope = keras.ops.stop_gradient(self.derivative(q))
        return spikes + slope * (q - keras.ops.stop_gradient(q))

    def exact(self, arrays: Any, q: Any) -> Any:
        """State the comparison."""
        return arrays.less(arrays.constant(0.0), q)
