"""Masks that Keras hands from layer to layer beside the tensors: where they pass, end, and are refused."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import keras

from hgq2_core.errors import ConfigError
from hgq2_core.keras_graph.private import mask_of

MAKERS = "an earlier layer, such as Masking or Embedding(mask_zero=True)"

WITHOUT = "Let the padding be zeros in the data, and leave Masking and mask_zero=True out."
"""What works where no mask is taken."""

Shape = tuple[int | None, ...]


def implicit_mask(tensor: Any) -> Any:
    """Return the mask that Keras hands on beside a tensor, or None."""
    return mask_of(tensor)


def refused_mask(name: str, why: str) -> ConfigError:
    """Return the error of a layer that takes no mask.

    Args:
        name: of the layer.
        why: it takes none.
    """
    return ConfigError(f"{name}: takes no mask: {why}. Received: one, which {MAKERS}, makes. {WITHOUT}")


def passed_mask(layer: keras.layers.Layer, inputs: Any, mask: Any) -> Any:
    """Return the mask of a layer's outputs: that of its input, unless the outputs have other axes there.

    Args:
        layer: a layer with one output.
        inputs: of its call.
        mask: of the inputs.
    """
    if not hasattr(mask, "shape") or not hasattr(inputs, "shape") or not _takes_one_shape(layer):
        return mask
    outputs = layer.compute_output_shape(tuple(inputs.shape))
    if not isinstance(outputs, tuple) or _agree(tuple(mask.shape), outputs):
        return mask
    if isinstance(inputs, keras.KerasTensor):  # once, when the model is made
        warnings.warn(
            f"{layer.name}: the mask that {MAKERS}, makes ends here: it is of shape {tuple(mask.shape)}, and the "
            f"outputs are of shape {outputs}. Later layers do not see it.",
            stacklevel=2,
        )
    return None


def _takes_one_shape(layer: keras.layers.Layer) -> bool:
    if type(layer).compute_output_shape is keras.layers.Layer.compute_output_shape:
        return False
    shapes = inspect.signature(layer.compute_output_shape).parameters.values()
    return len([shape for shape in shapes if shape.default is shape.empty]) == 1


def _agree(mask: Shape, outputs: Shape) -> bool:
    if len(mask) > len(outputs):
        return False
    sizes = zip(mask, outputs, strict=False)
    return all(one in (None, 1, other) or other is None for one, other in sizes)
