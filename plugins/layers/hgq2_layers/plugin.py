"""The hooks of the layers plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_layers() -> dict[str, str]:
    """Offer the quantized layers, and the adapters of Keras' own."""
    return {
        "add": "hgq2_layers.merging:QAdd",
        "average_pow2": "hgq2_layers.merging:QAveragePow2",
        "concatenate": "hgq2_layers.concatenate:QConcatenate",
        "dense": "hgq2_layers.dense:QDense",
        "dot": "hgq2_layers.contraction:QDot",
        "einsum": "hgq2_layers.contraction:QEinsum",
        "einsum_dense": "hgq2_layers.einsum_dense:QEinsumDense",
        "maximum": "hgq2_layers.merging:QMaximum",
        "mean_pow2": "hgq2_layers.reduction:QMeanPow2",
        "minimum": "hgq2_layers.merging:QMinimum",
        "multiply": "hgq2_layers.merging:QMultiply",
        "subtract": "hgq2_layers.merging:QSubtract",
        "sum": "hgq2_layers.reduction:QSum",
        "keras.Activation": "hgq2_layers.adapters:ActivationAdapter",
        "keras.Dropout": "hgq2_layers.adapters:DropoutAdapter",
        "keras.Flatten": "hgq2_layers.adapters:FlattenAdapter",
        "keras.ReLU": "hgq2_layers.adapters:ReLUAdapter",
        "keras.Reshape": "hgq2_layers.adapters:ReshapeAdapter",
    }
