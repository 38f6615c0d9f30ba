"""The hooks of the attention plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_layers() -> dict[str, str]:
    """Offer the quantized softmax and attention layers."""
    return {
        "grouped_query_attention": "hgq2_attention.grouped_query_attention:QGroupedQueryAttention",
        "linformer_attention": "hgq2_attention.linformer_attention:QLinformerAttention",
        "multi_head_attention": "hgq2_attention.multi_head_attention:QMultiHeadAttention",
        "softmax": "hgq2_attention.softmax:QSoftmax",
    }
