"""The hooks of the layers plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_layers() -> dict[str, str]:
    """Offer the quantized layers, and the adapters of Keras' own."""
    return {
        "conv1d": "hgq2_layers.convolution:QConv1D",
        "conv1d_transpose": "hgq2_layers.convolution_transpose:QConv1DTranspose",
        "conv2d": "hgq2_layers.convolution:QConv2D",
        "conv2d_transpose": "hgq2_layers.convolution_transpose:QConv2DTranspose",
        "conv3d": "hgq2_layers.convolution:QConv3D",
        "dense": "hgq2_layers.dense:QDense",
        "depthwise_conv1d": "hgq2_layers.depthwise:QDepthwiseConv1D",
        "depthwise_conv2d": "hgq2_layers.depthwise:QDepthwiseConv2D",
        "einsum_dense": "hgq2_layers.einsum_dense:QEinsumDense",
        "separable_conv1d": "hgq2_layers.depthwise:QSeparableConv1D",
        "separable_conv2d": "hgq2_layers.depthwise:QSeparableConv2D",
        "keras.Activation": "hgq2_layers.adapters:ActivationAdapter",
        "keras.Dropout": "hgq2_layers.adapters:DropoutAdapter",
        "keras.Flatten": "hgq2_layers.adapters:FlattenAdapter",
        "keras.ReLU": "hgq2_layers.adapters:ReLUAdapter",
        "keras.Reshape": "hgq2_layers.adapters:ReshapeAdapter",
    }
