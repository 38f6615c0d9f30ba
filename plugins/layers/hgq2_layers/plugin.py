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
        "keras.ActivityRegularization": "hgq2_layers.adapters:IdentityAdapter",
        "keras.Add": "hgq2_layers.keras_merging:AddAdapter",
        "keras.AlphaDropout": "hgq2_layers.adapters:IdentityAdapter",
        "keras.Concatenate": "hgq2_layers.keras_merging:ConcatenateAdapter",
        "keras.Cropping1D": "hgq2_layers.passive:CroppingAdapter",
        "keras.Cropping2D": "hgq2_layers.passive:CroppingAdapter",
        "keras.Cropping3D": "hgq2_layers.passive:CroppingAdapter",
        "keras.Dropout": "hgq2_layers.adapters:IdentityAdapter",
        "keras.Flatten": "hgq2_layers.adapters:FlattenAdapter",
        "keras.GaussianDropout": "hgq2_layers.adapters:IdentityAdapter",
        "keras.GaussianNoise": "hgq2_layers.adapters:IdentityAdapter",
        "keras.Identity": "hgq2_layers.adapters:IdentityAdapter",
        "keras.LeakyReLU": "hgq2_layers.adapters:LeakyReLUAdapter",
        "keras.Maximum": "hgq2_layers.keras_merging:MaximumAdapter",
        "keras.Minimum": "hgq2_layers.keras_merging:MinimumAdapter",
        "keras.Multiply": "hgq2_layers.keras_merging:MultiplyAdapter",
        "keras.Permute": "hgq2_layers.passive:PermuteAdapter",
        "keras.ReLU": "hgq2_layers.adapters:ReLUAdapter",
        "keras.RepeatVector": "hgq2_layers.passive:RepeatVectorAdapter",
        "keras.Reshape": "hgq2_layers.adapters:ReshapeAdapter",
        "keras.SpatialDropout1D": "hgq2_layers.adapters:IdentityAdapter",
        "keras.SpatialDropout2D": "hgq2_layers.adapters:IdentityAdapter",
        "keras.SpatialDropout3D": "hgq2_layers.adapters:IdentityAdapter",
        "keras.Subtract": "hgq2_layers.keras_merging:SubtractAdapter",
        "keras.UpSampling1D": "hgq2_layers.passive:UpSamplingAdapter",
        "keras.UpSampling2D": "hgq2_layers.passive:UpSamplingAdapter",
        "keras.UpSampling3D": "hgq2_layers.passive:UpSamplingAdapter",
        "keras.ZeroPadding1D": "hgq2_layers.passive:ZeroPaddingAdapter",
        "keras.ZeroPadding2D": "hgq2_layers.passive:ZeroPaddingAdapter",
        "keras.ZeroPadding3D": "hgq2_layers.passive:ZeroPaddingAdapter",
    }
