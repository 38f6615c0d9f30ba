"""Data sets, callbacks and runs for quantization-aware training."""

from hgq2_core.hookspecs import lazy_exports
from hgq2_training import plugin

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    plugin.hgq2_datasets(),
    plugin.hgq2_callbacks(),
    compare="hgq2_training.runs.compare",
    predict="hgq2_training.runs.predict",
    resume="hgq2_training.runs.train",
    train="hgq2_training.runs.train",
)
