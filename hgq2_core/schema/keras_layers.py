"""The Keras layers that are known here: the one list that configs, model files, conversion and `hgq2 list` go by.

None of them runs code from its config or reads a path. One that holds other layers says where, so that these are
checked in turn. What each becomes and whether it has exact arithmetic is the registry's: see
`hgq2_core.cli.layer_table`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

KERAS = "keras."
"""The prefix of a Keras layer's kind."""


@dataclass(frozen=True)
class KerasLayer:
    """A Keras layer that a model file may name.

    Args:
        name: in `keras.layers`.
        class_name: of the class itself, where Keras publishes it under another name; empty where both are the same.
        sublayers: arguments of its constructor that are layers.
        in_configs: whether a line of a config may be such a layer: not where it takes layers, or its inputs by name.
    """

    name: str
    class_name: str = ""
    sublayers: tuple[str, ...] = ()
    in_configs: bool = True


_PLAIN = (
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "AveragePooling1D", "AveragePooling2D",
    "AveragePooling3D", "BatchNormalization", "Concatenate", "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose",
    "Conv3D", "Conv3DTranspose", "Cropping1D", "Cropping2D", "Cropping3D", "Dense", "DepthwiseConv1D",
    "DepthwiseConv2D", "Dot", "Dropout", "EinsumDense", "Embedding", "Flatten", "GRU", "GaussianDropout",
    "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GroupNormalization", "Identity", "LSTM", "LayerNormalization",
    "LeakyReLU", "Masking", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "Maximum", "Minimum", "Multiply", "PReLU",
    "Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape", "SeparableConv1D", "SeparableConv2D", "SimpleRNN",
    "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Subtract", "UnitNormalization",
    "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
)  # fmt: skip

_SPECIAL = (
    KerasLayer("Bidirectional", sublayers=("layer", "backward_layer"), in_configs=False),
    KerasLayer("GroupQueryAttention", class_name="GroupedQueryAttention", in_configs=False),
    KerasLayer("MultiHeadAttention", in_configs=False),
    KerasLayer("TimeDistributed", sublayers=("layer",), in_configs=False),
)

KERAS_LAYERS: Mapping[str, KerasLayer] = MappingProxyType(
    {layer.name: layer for layer in sorted((*map(KerasLayer, _PLAIN), *_SPECIAL), key=lambda layer: layer.name)}
)
"""By the name in `keras.layers`."""


def quantized_name(class_name: str, kinds: Collection[str], adapted: bool) -> str | None:
    """Return the kind that is the quantized form of a Keras layer by its name: `dense` of `Dense`; None without one.

    Args:
        class_name: of the Keras layer.
        kinds: of the quantized layers, without their plugins.
        adapted: whether the Keras layer has exact arithmetic itself; then only its own name in snake case counts.
    """
    name = snake(class_name)
    if name in kinds or adapted:
        return name if name in kinds else None
    # PReLU is prelu, and Conv1DTranspose conv1d_transpose.
    return next((each for each in kinds if each.replace("_", "") == name.replace("_", "")), None)


def snake(name: str) -> str:
    """Spell a class name in snake case: `MaxPooling2D` becomes `max_pooling2d`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
