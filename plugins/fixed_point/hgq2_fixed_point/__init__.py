"""Fixed-point quantizers with trained bit-widths, sets of few given values, and the plain function `quantize`."""

from hgq2_core.hookspecs import lazy_exports
from hgq2_fixed_point import plugin

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_exports(__name__, plugin.hgq2_quantizers(), quantize="hgq2_fixed_point.arithmetic")
