"""Why some of Keras' layers stay out of quantized models: the one part of docs/catalogue.md that is written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Refusal:
    """A reason to have no quantized form and no exact arithmetic.

    Args:
        reason: in two or three words.
        remedy: what to do in its place.
    """

    reason: str
    remedy: str


TRAINING_ONLY = Refusal("training only", "apply it to the training data")
HOST = Refusal("host preprocessing", "apply it to the data before the model")
DATA_DEPENDENT_SHAPE = Refusal("data-dependent shape", "give every sample the same shape")
FOREIGN_CODE = Refusal("runs foreign code", "use layers, or operations of keras.ops")
UNBOUNDED = Refusal("unbounded function", "write a unary function (unary_function)")
NO_LAYER = Refusal("not a layer that a model applies", "a base class, or an input")
NOT_YET = Refusal("no quantized form yet", "a rule keeps it in floats, or a plugin adds one (docs/extending)")

_REFUSED = {
    TRAINING_ONLY: ("AugMix", "CutMix", "MixUp", "Pipeline", "RandAugment"),
    HOST: (
        "AutoContrast", "CategoryEncoding", "CenterCrop", "ContrastLimitedAdaptiveHistogramEqualization",
        "Discretization", "Equalization", "HashedCrossing", "Hashing", "IntegerLookup", "MelSpectrogram", "RandomCrop",
        "Resizing", "STFTSpectrogram", "Solarization", "StringLookup", "TextVectorization",
    ),
    DATA_DEPENDENT_SHAPE: ("MaxNumBoundingBoxes",),
    FOREIGN_CODE: ("FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper"),
    UNBOUNDED: ("ELU", "UnitNormalization"),
    NO_LAYER: ("InputLayer", "InputSpec", "Layer", "Wrapper"),
    NOT_YET: (
        "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D",
        "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", "AdditiveAttention", "Attention", "ConvLSTM1D",
        "ConvLSTM2D", "ConvLSTM3D", "ReversibleEmbedding", "SpectralNormalization",
    ),
}  # fmt: skip

REFUSED: Mapping[str, Refusal] = MappingProxyType(
    {name: refusal for refusal, names in _REFUSED.items() for name in names}
)
"""By the layers' names in `keras.layers`. A quantized form or an adapter, once there is one, takes precedence."""
