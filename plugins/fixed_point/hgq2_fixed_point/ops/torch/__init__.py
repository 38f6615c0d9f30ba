"""Fixed-point quantization for torch: fused forward passes and hand-written backward ones."""

from .bits import clipped_bits, round_bits
from .following import quantize_following
from .quantizing import quantize, quantize_counted, quantize_kbi
from .ranges import follow
from .tracking import quantize_tracking

__all__ = [
    "clipped_bits",
    "follow",
    "quantize",
    "quantize_counted",
    "quantize_following",
    "quantize_kbi",
    "quantize_tracking",
    "round_bits",
]
