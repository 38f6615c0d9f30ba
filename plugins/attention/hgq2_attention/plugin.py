"""The hooks of the attention plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_layers() -> dict[str, str]:
    """Offer the quantized softmax and attention layers."""
    return {
        "softmax": "hgq2_attention.softmax:QSoftmax",
    }
