"""The hooks of the layers plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_layers() -> dict[str, str]:
    """Offer the quantized layers, and the adapters of Keras' own."""
    return {
        "batch_norm_dense": "hgq2_layers.batch_norm_dense:QBatchNormDense",
        "batch_normalization": "hgq2_layers.batch_normalization:QBatchNormalization",
        "dense": "hgq2_layers.dense:QDense",
        "dense_batch_norm": "hgq2_layers.dense_batch_norm:QDenseBatchNorm",
        "einsum_dense": "hgq2_layers.einsum_dense:QEinsumDense",
        "einsum_dense_batch_norm": "hgq2_layers.einsum_dense_batch_norm:QEinsumDenseBatchNorm",
        "keras.Activation": "hgq2_layers.adapters:ActivationAdapter",
        "keras.Dropout": "hgq2_layers.adapters:DropoutAdapter",
        "keras.Flatten": "hgq2_layers.adapters:FlattenAdapter",
        "keras.ReLU": "hgq2_layers.adapters:ReLUAdapter",
        "keras.Reshape": "hgq2_layers.adapters:ReshapeAdapter",
    }
