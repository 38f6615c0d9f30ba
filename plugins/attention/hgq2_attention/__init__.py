"""Quantized softmax and attention for Keras 3: multi-head, grouped-query and Linformer."""

from hgq2_attention import plugin
from hgq2_core.hookspecs import lazy_exports

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_exports(__name__, plugin.hgq2_layers())
