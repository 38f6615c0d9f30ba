"""The hooks of the layers plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_layers() -> dict[str, str]:
    """Offer the quantized layers, and the adapters of Keras' own."""
    return {
        "affine_unary_function": "hgq2_layers.unary_function:QAffineUnaryFunction",
        "conv1d_lut": "hgq2_layers.conv_lut:QConv1DLUT",
        "conv2d_lut": "hgq2_layers.conv_lut:QConv2DLUT",
        "dense": "hgq2_layers.dense:QDense",
        "dense_lut": "hgq2_layers.lut:QDenseLUT",
        "einsum_dense": "hgq2_layers.einsum_dense:QEinsumDense",
        "embedding": "hgq2_layers.embedding:QEmbedding",
        "hard_sigmoid": "hgq2_layers.unary_function:QHardSigmoid",
        "hard_tanh": "hgq2_layers.activations:QHardTanh",
        "leaky_relu": "hgq2_layers.activations:QLeakyReLU",
        "prelu": "hgq2_layers.activations:QPReLU",
        "relu": "hgq2_layers.activations:QReLU",
        "unary_function": "hgq2_layers.unary_function:QUnaryFunction",
        "keras.Activation": "hgq2_layers.adapters:ActivationAdapter",
        "keras.Dropout": "hgq2_layers.adapters:DropoutAdapter",
        "keras.Flatten": "hgq2_layers.adapters:FlattenAdapter",
        "keras.ReLU": "hgq2_layers.adapters:ReLUAdapter",
        "keras.Reshape": "hgq2_layers.adapters:ReshapeAdapter",
    }
