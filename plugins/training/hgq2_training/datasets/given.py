"""Parts of a data set that are given by themselves: their names and shapes are those of the whole."""

from __future__ import annotations

from typing import Any

from hgq2_core.data.arrays import mapped
from hgq2_core.data.splits import Split
from hgq2_core.errors import ConfigError, DataError
from hgq2_training.datasets.targets import Named


def names_of(arrays: Named) -> Any:
    """Return the names by which a config gives several arrays; None for one."""
    return set(arrays) if isinstance(arrays, dict) else None


def check_part(
    part: str, x: Named | None, y: Named | None, whole_x: Named, whole_y: Named, weight: str | None = None
) -> None:
    """Refuse a part that is given by half, or in another form than the whole.

    Args:
        part: its name.
        x: its inputs; None if it is not given.
        y: its targets.
        whole_x: the inputs of the whole.
        whole_y: its targets.
        weight: the weights of the samples of the part; None if they are not given.

    Raises:
        ConfigError: says what is wrong.
    """
    if weight is not None and x is None:
        raise ConfigError(
            f"`sample_weight_{part}` is of a part that is given by `x_{part}`. "
            f"Received: sample_weight_{part}={weight!r}, and no x_{part}"
        )
    if (x is None) != (y is None):
        raise ConfigError(
            f"`x_{part}` and `y_{part}` are given both or not at all. Received: x_{part}={x!r}, y_{part}={y!r}"
        )
    for axis, own, whole in (("x", x, whole_x), ("y", y, whole_y)):
        if own is not None and names_of(own) != names_of(whole):
            raise ConfigError(
                f"`{axis}_{part}` has the form of `{axis}`. Received: {axis}={whole!r}, {axis}_{part}={own!r}"
            )


def check_alike(whole: Split, part: Split, x: Any, y: Any) -> None:
    """Refuse a part whose samples differ in shape from those of the whole.

    Args:
        whole: all samples, without those of the part.
        part: the part.
        x: what each pair of inputs is, for the message, in the structure of the inputs.
        y: what each pair of targets is.

    Raises:
        DataError: a shape differs.
    """

    def check(array: Any, twin: Any, pair: str) -> None:
        if array.shape[1:] != twin.shape[1:]:
            raise DataError(
                f"{pair} must agree except in the number of samples. Received: shapes {array.shape} and {twin.shape}"
            )

    mapped(check, whole.x, part.x, x)
    mapped(check, whole.y, part.y, y)
