"""What this plugin registers."""

from __future__ import annotations

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_datasets() -> dict[str, str]:
    """Data sets: two that are shipped, and your own arrays."""
    return {
        "csv": "hgq2_training.datasets.csv:Csv",
        "digits": "hgq2_training.datasets.digits:Digits",
        "magic": "hgq2_training.datasets.magic:Magic",
        "npz": "hgq2_training.datasets.npz:Npz",
    }


@hookimpl
def hgq2_callbacks() -> dict[str, str]:
    """Callbacks: the weight of the cost, its value, and the best models at each."""
    return {
        "beta_schedule": "hgq2_training.callbacks.beta_schedule:BetaSchedule",
        "ebops": "hgq2_training.callbacks.epochs:EbopsLog",
        "noise_schedule": "hgq2_training.callbacks.noise_schedule:NoiseSchedule",
        "pareto_front": "hgq2_training.callbacks.pareto_front:ParetoFront",
    }
