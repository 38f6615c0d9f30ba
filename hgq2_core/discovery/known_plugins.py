"""What our own plugins bring, only to say what to install where one of them is missing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CORE = "hgq2-core"

DISTRIBUTIONS: Mapping[str, str] = MappingProxyType(
    {
        "fixed_point": "hgq2-fixed-point",
        "minifloat": "hgq2-minifloat",
        "layers": "hgq2-layers",
        "attention": "hgq2-attention",
        "training": "hgq2-training",
        "alkaid": "hgq2-alkaid",
    }
)
"""By the name of the plugin."""


def install_hint(*distributions: str) -> str:
    """Return how to install distributions of this repository, from an index or from a clone.

    Args:
        *distributions: names, each with its extras if any, such as `hgq2-core[torch]`.
    """
    folders = {CORE: ".", **{distribution: f"./plugins/{name}" for name, distribution in DISTRIBUTIONS.items()}}
    named = " ".join(f"'{each}'" if "[" in each else each for each in distributions)
    local = []
    for each in distributions:
        name, bracket, extras = each.partition("[")
        local.append(f"'{folders[name]}[{extras}'" if bracket else folders[name])
    return f"pip install {named} (not on PyPI yet: pip install {' '.join(local)} in a clone)"


KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fixed_point": ("binary", "kbi", "kif", "none", "power_of_two", "ternary"),
        "minifloat": (
            "bfloat16",
            "float16",
            "float4_e2m1fn",
            "float6_e2m3fn",
            "float6_e3m2fn",
            "float8_e3m4",
            "float8_e4m3",
            "float8_e4m3b11fnuz",
            "float8_e4m3fn",
            "float8_e4m3fnuz",
            "float8_e5m2",
            "float8_e5m2fnuz",
            "minifloat",
        ),
        "layers": (
            "add",
            "affine_unary_function",
            "average_pooling1d",
            "average_pooling2d",
            "average_pooling3d",
            "average_pow2",
            "batch_norm_dense",
            "batch_normalization",
            "concatenate",
            "conv1d",
            "conv1d_lut",
            "conv1d_transpose",
            "conv2d",
            "conv2d_lut",
            "conv2d_transpose",
            "conv3d",
            "dense",
            "dense_batch_norm",
            "dense_lut",
            "depthwise_conv1d",
            "depthwise_conv2d",
            "dot",
            "einsum",
            "einsum_dense",
            "einsum_dense_batch_norm",
            "einsum_dense_lut",
            "embedding",
            "global_average_pooling1d",
            "global_average_pooling2d",
            "global_average_pooling3d",
            "global_max_pooling1d",
            "global_max_pooling2d",
            "global_max_pooling3d",
            "gru",
            "hard_sigmoid",
            "hard_tanh",
            "integrate_and_fire",
            "leaky_integrate_and_fire",
            "leaky_relu",
            "lstm",
            "max_pooling1d",
            "max_pooling2d",
            "max_pooling3d",
            "maximum",
            "mean_pow2",
            "minimum",
            "multiply",
            "prelu",
            "relu",
            "separable_conv1d",
            "separable_conv2d",
            "simple_rnn",
            "subtract",
            "sum",
            "unary_function",
        ),
        "attention": ("grouped_query_attention", "linformer_attention", "multi_head_attention", "softmax"),
        "training": ("beta_schedule", "csv", "digits", "ebops", "magic", "noise_schedule", "npz", "pareto_front"),
        "alkaid": ("alkaid",),
    }
)
"""The short names of their kinds; a test holds them against the plugins."""


def is_official(kind: str) -> bool:
    """Say whether a full kind is one that our own plugins bring."""
    plugin, _, name = kind.partition(".")
    return name in KINDS.get(plugin, ())
