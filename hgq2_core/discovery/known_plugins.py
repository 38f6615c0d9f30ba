"""The distributions of this repository by the prefix of their kinds, and the two layers that conversion adds."""

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
        "hls4ml": "hgq2-hls4ml",
        "cpp": "hgq2-cpp",
        "qonnx": "hgq2-qonnx",
    }
)
"""The distribution of each plugin."""

BRINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "quantizers": ("fixed_point", "minifloat"),
        "layers": ("layers", "attention"),
        "callbacks": ("training",),
        "datasets": ("training",),
        "exporters": ("alkaid", "hls4ml", "cpp", "qonnx"),
        "commands": ("training",),
    }
)
"""The plugins that bring kinds of a group."""

COMMANDS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            *("board", "calibrate", "compare", "demo", "doctor", "estimate", "export", "predict", "quantize", "report"),
            *("sweep", "train", "verify"),
        ),
        "training",
    )
)
"""The plugin of each subcommand that the core has not, to say what to install."""

OPERATION_LAYER = "layers.operation"
"""The kind of the layer that `quantize_model` makes of an operation on tensors, such as `x + y`."""

QUANTIZER_LAYER = "layers.quantize"
"""The kind of the layer that it puts between operations that would make too many bits, and behind raw inputs."""


def install_hint(*distributions: str) -> str:
    """Return the commands that install distributions of this repository, from an index or from a clone.

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


def is_official(kind: str) -> bool:
    """Return True if a full kind has the prefix of a plugin of this repository; no other plugin may use it."""
    return kind.partition(".")[0] in DISTRIBUTIONS
