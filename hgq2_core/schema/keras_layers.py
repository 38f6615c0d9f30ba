"""The allow-list of Keras layers, shared by configs, model files, conversion and `hgq2 list`.

None of them runs code from its config or reads a path. A layer that holds others names their fields, so that these are
checked too. `hgq2_core.cli.layer_table` shows what each converts to, and whether it has exact arithmetic.
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
        name: its name in `keras.layers`.
        class_name: name of the class, if Keras publishes it under another name; empty if both are the same.
        sublayers: arguments of its constructor that are layers.
        in_configs: whether a config may name it; not if it takes layers, or inputs by keyword.
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
    "Permute", "RMSNormalization", "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast",
    "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue",
    "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness",
    "RandomShear", "RandomTranslation", "RandomZoom", "ReLU", "RepeatVector", "Rescaling", "Reshape", "SeparableConv1D",
    "SeparableConv2D", "SimpleRNN", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Subtract",
    "UnitNormalization", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D",
    "ZeroPadding3D",
)  # fmt: skip

CONVERTED_OPERATIONS = (
    "arctan", "average_pool", "ceil", "cos", "erf", "exp", "exp2", "expm1", "floor", "leaky_relu", "log", "log1p",
    "max_pool", "moments", "norm", "normalize", "power", "reciprocal", "round", "rsqrt", "sign", "sin", "softmax",
    "sqrt", "std", "var",
)  # fmt: skip
"""Operations of `keras.ops` that `quantize_model` turns into others, so that a file may name them; activations are too.
What a plugin adapts comes beside them."""

_SPECIAL = (
    KerasLayer("Bidirectional", sublayers=("layer", "backward_layer"), in_configs=False),
    KerasLayer("GRUCell", in_configs=False),
    KerasLayer("GroupQueryAttention", class_name="GroupedQueryAttention", in_configs=False),
    KerasLayer("LSTMCell", in_configs=False),
    KerasLayer("MultiHeadAttention", in_configs=False),
    KerasLayer("RNN", sublayers=("cell",), in_configs=False),
    KerasLayer("SimpleRNNCell", in_configs=False),
    KerasLayer("StackedRNNCells", sublayers=("cells",), in_configs=False),
    KerasLayer("TimeDistributed", sublayers=("layer",), in_configs=False),
)

KERAS_LAYERS: Mapping[str, KerasLayer] = MappingProxyType(
    {layer.name: layer for layer in sorted((*map(KerasLayer, _PLAIN), *_SPECIAL), key=lambda layer: layer.name)}
)
"""The layers by their names in `keras.layers`."""


def quantized_name(class_name: str, kinds: Collection[str], adapted: bool) -> str | None:
    """Return the quantized kind with the name of a Keras layer, such as `dense` for `Dense`; None if there is none.

    Args:
        class_name: class name of the Keras layer.
        kinds: kinds of quantized layers, without prefixes.
        adapted: whether an adapter gives the Keras layer exact arithmetic; then the names must match exactly.
    """
    name = snake(class_name)
    if name in kinds or adapted:
        return name if name in kinds else None
    # PReLU is prelu, and Conv1DTranspose conv1d_transpose.
    return next((each for each in kinds if each.replace("_", "") == name.replace("_", "")), None)


def snake(name: str) -> str:
    """Return a class name in snake case: `max_pooling2d` for `MaxPooling2D`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
