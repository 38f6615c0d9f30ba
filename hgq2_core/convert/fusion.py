"""Which layers `quantize_model` fuses with the layer that follows, and why others stay two."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator

import keras

from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, listing
from hgq2_core.keras_graph.traversal import neighbors
from hgq2_core.layers.base import QLayer
from hgq2_core.schema.signature import parameters

LOG = logging.getLogger("hgq2_core")


def fused_class(
    cls: type[QLayer],
    layer: keras.layers.Layer,
    successor: keras.layers.Layer,
    successor_kind: str | None,
    arguments: Collection[str],
) -> type[QLayer] | None:
    """Return the class that a layer and the one that follows become together; None if they stay two.

    Args:
        cls: what the layer becomes alone.
        layer: the Keras layer.
        successor: the layer that alone takes its output.
        successor_kind: its kind.
        arguments: names of those that a rule sets.
    """
    fused = registry().load("layers", cls.fused_kind) if cls.fused_kind else None
    if fused is None or fused.fuses is None or fused.fuses != successor_kind:
        return None
    # Of the fused layer an activation comes after the normalization, of the one alone before.
    lost = [name for name in arguments if name not in parameters(fused) or name == "activation"]
    if lost:
        LOG.info(
            "quantize_model: %s and %s stay two layers: %s cannot take %s of the rule.",
            layer.name, successor.name, fused.__name__, listing(lost),
        )  # fmt: skip
        return None
    try:
        fused.keras_arguments(layer, successor)
    except ConfigError as error:
        LOG.info("quantize_model: %s and %s stay two layers: %s", layer.name, successor.name, error)
        return None
    return fused


@contextlib.contextmanager
def with_surroundings(model: keras.Model, layer: keras.layers.Layer, unfused: bool) -> Iterator[None]:
    """Add to an error what stands before a layer and what takes its output.

    Args:
        model: that the layer is in.
        layer: the Keras layer.
        unfused: whether its class fuses a layer, and there is none.
    """
    try:
        yield
    except ConfigError as error:
        if not unfused:
            raise
        before, after = (
            listing(f"{each.name} ({type(each).__name__})" for each in layers) for layers in neighbors(model, layer)
        )
        raise ConfigError(f"{error} Before it: {before}. Taking its output: {after}.") from error
