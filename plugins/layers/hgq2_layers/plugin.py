"""The hooks of the layers plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_layers() -> dict[str, str]:
    """Offer the quantized layers, and the adapters of Keras' own."""
    return {
        "average_pooling1d": "hgq2_layers.average_pooling:QAveragePooling1D",
        "average_pooling2d": "hgq2_layers.average_pooling:QAveragePooling2D",
        "average_pooling3d": "hgq2_layers.average_pooling:QAveragePooling3D",
        "conv1d": "hgq2_layers.convolution:QConv1D",
        "conv1d_transpose": "hgq2_layers.convolution_transpose:QConv1DTranspose",
        "conv2d": "hgq2_layers.convolution:QConv2D",
        "conv2d_transpose": "hgq2_layers.convolution_transpose:QConv2DTranspose",
        "conv3d": "hgq2_layers.convolution:QConv3D",
        "dense": "hgq2_layers.dense:QDense",
        "depthwise_conv1d": "hgq2_layers.depthwise:QDepthwiseConv1D",
        "depthwise_conv2d": "hgq2_layers.depthwise:QDepthwiseConv2D",
        "einsum_dense": "hgq2_layers.einsum_dense:QEinsumDense",
        "global_average_pooling1d": "hgq2_layers.average_pooling:QGlobalAveragePooling1D",
        "global_average_pooling2d": "hgq2_layers.average_pooling:QGlobalAveragePooling2D",
        "global_average_pooling3d": "hgq2_layers.average_pooling:QGlobalAveragePooling3D",
        "global_max_pooling1d": "hgq2_layers.pooling:QGlobalMaxPooling1D",
        "global_max_pooling2d": "hgq2_layers.pooling:QGlobalMaxPooling2D",
        "global_max_pooling3d": "hgq2_layers.pooling:QGlobalMaxPooling3D",
        "max_pooling1d": "hgq2_layers.pooling:QMaxPooling1D",
        "max_pooling2d": "hgq2_layers.pooling:QMaxPooling2D",
        "max_pooling3d": "hgq2_layers.pooling:QMaxPooling3D",
        "separable_conv1d": "hgq2_layers.depthwise:QSeparableConv1D",
        "separable_conv2d": "hgq2_layers.depthwise:QSeparableConv2D",
        "keras.Activation": "hgq2_layers.adapters:ActivationAdapter",
        "keras.AveragePooling1D": "hgq2_layers.pooling_adapters:AveragePoolingAdapter",
        "keras.AveragePooling2D": "hgq2_layers.pooling_adapters:AveragePoolingAdapter",
        "keras.AveragePooling3D": "hgq2_layers.pooling_adapters:AveragePoolingAdapter",
        "keras.Dropout": "hgq2_layers.adapters:DropoutAdapter",
        "keras.Flatten": "hgq2_layers.adapters:FlattenAdapter",
        "keras.GlobalAveragePooling1D": "hgq2_layers.pooling_adapters:GlobalAveragePoolingAdapter",
        "keras.GlobalAveragePooling2D": "hgq2_layers.pooling_adapters:GlobalAveragePoolingAdapter",
        "keras.GlobalAveragePooling3D": "hgq2_layers.pooling_adapters:GlobalAveragePoolingAdapter",
        "keras.GlobalMaxPooling1D": "hgq2_layers.pooling_adapters:GlobalMaxPoolingAdapter",
        "keras.GlobalMaxPooling2D": "hgq2_layers.pooling_adapters:GlobalMaxPoolingAdapter",
        "keras.GlobalMaxPooling3D": "hgq2_layers.pooling_adapters:GlobalMaxPoolingAdapter",
        "keras.MaxPooling1D": "hgq2_layers.pooling_adapters:MaxPoolingAdapter",
        "keras.MaxPooling2D": "hgq2_layers.pooling_adapters:MaxPoolingAdapter",
        "keras.MaxPooling3D": "hgq2_layers.pooling_adapters:MaxPoolingAdapter",
        "keras.ReLU": "hgq2_layers.adapters:ReLUAdapter",
        "keras.Reshape": "hgq2_layers.adapters:ReshapeAdapter",
    }
