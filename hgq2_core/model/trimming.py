"""Trimming: the fewest bits in which each weight keeps the value that it has."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.layers.base import QLayer
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.base import Quantizer


def trim_bits(model: keras.layers.Layer) -> None:
    """Lower the bits of the weights to what their present values need, which costs fewer EBOPs and changes no output.

    Training leaves bits that no value uses: 0.5 with 3 fraction bits needs 1, a weight that rounds to 0 none. Calibrate
    afterwards; a calibration from before is stale. Bits of activations and tables stay, as their values depend on data,
    and so do those of a layer with NaN.

    Args:
        model: a built model.
    """
    for layer in layers_of(model):
        if isinstance(layer, QLayer) and layer.built and not layer.frozen:
            _trim(layer)


def _trim(layer: QLayer) -> None:
    weights = _weights(layer)
    before = [keras.ops.convert_to_numpy(quantizer.quantize(x)) for quantizer, x in weights]
    if not all(np.isfinite(values).all() for values in before):
        return  # nothing holds NaN: a training that diverged says so itself
    variables = [variable for quantizer, _ in weights for variable in quantizer.trainable_variables]
    bits = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    for quantizer, x in weights:
        quantizer.trim(x)
    # What a weight is before it is quantized may depend on bits: that of a bounded accumulator does.
    after = [keras.ops.convert_to_numpy(quantizer.quantize(x)) for quantizer, x in _weights(layer)]
    if not all(map(np.array_equal, before, after)):
        for variable, value in zip(variables, bits, strict=True):
            variable.assign(value)


def _weights(layer: QLayer) -> list[tuple[Quantizer[Any], Tensor]]:
    """Return the quantizers of a layer's weights, each with what it sees in inference; a table depends on data."""
    seen = ((layer.slot_quantizer(name), value) for name, value in layer.folded().items())
    return [(quantizer, value) for quantizer, value in seen if quantizer.slot.role != "table"]
