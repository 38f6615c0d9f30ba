"""Quantizers as notebooks show them: the fields of a config, and the present format of a quantizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from hgq2_core.discovery.registry import registry
from hgq2_core.quantizers.ranges import DynamicRange
from hgq2_core.schema.base import as_yaml

if TYPE_CHECKING:
    from hgq2_core.quantizers.base import Quantizer
    from hgq2_core.quantizers.config import QuantizerConfig


def config_table(config: QuantizerConfig, where: str = "") -> Table:
    """Return the fields of a config; those that were not given may still come from a scope or a role.

    Args:
        config: the config.
        where: the slot that it fills, for the title.
    """
    table = Table("field", "value", "", title=", ".join(filter(None, (_kind(config), where))))
    for name, value in config.model_dump(mode="json").items():
        table.add_row(name, as_yaml(value), "" if name in config.model_fields_set else "not given")
    return table


def quantizer_table(quantizer: Quantizer[Any]) -> Table:
    """Return the numbers of a quantizer's format, and its bits, over its elements.

    Args:
        quantizer: the quantizer; of one that is not built, or whose format each call computes, the config is shown.
    """
    import keras

    if not quantizer.built or isinstance(quantizer.range, DynamicRange):
        return config_table(quantizer.config, str(quantizer.slot))
    table = Table(
        title=", ".join(filter(None, (_kind(quantizer.config), str(quantizer.slot), quantizer.format_name())))
    )
    table.add_column("")
    for heading in ("mean", "min", "max"):
        table.add_column(heading, justify="right")
    for name, numbers in {**quantizer.format(), "bits": quantizer.bits()}.items():
        values = np.asarray(keras.ops.convert_to_numpy(numbers), dtype=np.float64)
        if values.size:
            table.add_row(name, *(f"{number:g}" for number in (values.mean(), values.min(), values.max())))
    return table


def _kind(config: QuantizerConfig) -> str:
    return registry().kind_of("quantizers", type(config)) or type(config).__name__
