"""The conformance kit: what a plugin runs, in one line each, over its quantizers and layers."""

from hgq2_core.errors import ConformanceError
from hgq2_core.testing.layers import check_layer
from hgq2_core.testing.quantizers import check_quantizer

__all__ = ["ConformanceError", "check_layer", "check_quantizer"]
