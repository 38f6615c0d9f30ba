"""Quantized layers for Keras 3, from dense to recurrent, and adapters for Keras' passive layers."""

from hgq2_core.hookspecs import lazy_exports
from hgq2_layers import plugin
from hgq2_layers.aliases import aliases

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_exports(__name__, plugin.hgq2_layers(), **aliases())
