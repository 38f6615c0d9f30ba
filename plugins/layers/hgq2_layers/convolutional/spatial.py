"""Arguments of layers over spatial axes: sizes for each axis, and data formats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import keras

from hgq2_core import ConfigError
from hgq2_core.layers.arguments import PositiveInt

if TYPE_CHECKING:
    from hgq2_core.layers.arguments import Arg

from hgq2_core.schema.base import FromList

Padding = Literal["valid", "same"]
CausalPadding = Literal["valid", "same", "causal"]
DataFormat = Literal["channels_last", "channels_first"]


class KerasDataFormat:
    """Marks the argument `data_format`, which is Keras' own where it is None."""

    def resolve(self, value: DataFormat | None) -> str:
        """Return the data format."""
        return value or str(keras.config.image_data_format())


if TYPE_CHECKING:  # a number and None are passed, which `setup` resolves
    Sizes = Arg[int | Sequence[int], tuple[int, ...]]
    OptionalSizes = Arg[int | Sequence[int] | None, tuple[int, ...]]
    DataFormatArg = Arg[DataFormat | None, str]
else:
    Sizes = PositiveInt | Annotated[tuple[PositiveInt, ...], FromList]
    OptionalSizes = Sizes | None
    DataFormatArg = Annotated[DataFormat | None, KerasDataFormat()]
"""One number for every spatial axis, or one for each; Keras' own data format if None."""


def for_each_axis(name: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """Return one number for each spatial axis.

    Raises:
        ConfigError: another count of numbers.
    """
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) != rank:
        raise ConfigError(f"{name} must be a number, or {rank} of them. Received: {name}={list(sizes)}")
    return sizes


def channels_first(data_format: str) -> bool:
    """Return True if the channels stand before the spatial axes."""
    return data_format == "channels_first"


def last_axis_order(rank: int) -> tuple[int, ...]:
    """Return the order of axes that moves channels from the first place after the spatial axes."""
    return (0, *range(2, rank + 2), 1)


def first_axis_order(rank: int) -> tuple[int, ...]:
    """Return the order of axes that moves channels back."""
    return (0, rank + 1, *range(1, rank + 1))


def refuse_strides_with_dilation(strides: Sequence[int], dilation_rate: Sequence[int]) -> None:
    """Refuse what Keras refuses.

    Raises:
        ConfigError: both are more than 1 somewhere.
    """
    if max(strides) > 1 and max(dilation_rate) > 1:
        raise ConfigError(
            "strides or dilation_rate must be 1. "
            f"Received: strides={list(strides)}, dilation_rate={list(dilation_rate)}"
        )
