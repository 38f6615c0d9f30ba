"""The conformance kit, with which a plugin checks its quantizers and layers in one line each."""

from hgq2_core.errors import ConformanceError
from hgq2_core.testing.layers import check_layer, layer_checks
from hgq2_core.testing.parametrize import parametrize_with_checks
from hgq2_core.testing.quantizers import check_quantizer, quantizer_checks
from hgq2_core.testing.registered import registered
from hgq2_core.testing.rules import Check

__all__ = [
    "Check",
    "ConformanceError",
    "check_layer",
    "check_quantizer",
    "layer_checks",
    "parametrize_with_checks",
    "quantizer_checks",
    "registered",
]
