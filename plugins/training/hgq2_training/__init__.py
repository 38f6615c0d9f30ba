"""Data sets, callbacks and runs for quantization-aware training."""

from hgq2_core.hookspecs import lazy_exports
from hgq2_training import plugin

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    plugin.hgq2_datasets(),
    plugin.hgq2_callbacks(),
    Budget="hgq2_training.callbacks.budget",
    StopIf="hgq2_training.callbacks.stopping",
    TrainingProgress="hgq2_training.commands.progress",
    compare="hgq2_training.runs.compare",
    plot_bits="hgq2_training.plots",
    plot_comparison="hgq2_training.plots",
    plot_curves="hgq2_training.plots",
    plot_front="hgq2_training.plots",
    plot_values="hgq2_training.plots",
    predict="hgq2_training.runs.predict",
    read_front="hgq2_training.runs.front",
    resume="hgq2_training.runs.train",
    train="hgq2_training.runs.train",
)
