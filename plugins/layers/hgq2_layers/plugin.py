"""The hooks of the layers plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_layers() -> dict[str, str]:
    """Offer the quantized layers, and the adapters of Keras' own."""
    return {
        "dense": "hgq2_layers.dense:QDense",
        "einsum_dense": "hgq2_layers.einsum_dense:QEinsumDense",
        "unary_function": "hgq2_layers.unary_function:QUnaryFunction",
        "keras.Activation": "hgq2_layers.adapters:ActivationAdapter",
        "keras.Dropout": "hgq2_layers.adapters:DropoutAdapter",
        "keras.Flatten": "hgq2_layers.adapters:FlattenAdapter",
        "keras.ReLU": "hgq2_layers.adapters:ReLUAdapter",
        "keras.Reshape": "hgq2_layers.adapters:ReshapeAdapter",
    }
