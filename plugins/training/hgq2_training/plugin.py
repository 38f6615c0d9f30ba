"""What this plugin registers."""

from __future__ import annotations

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_datasets() -> dict[str, str]:
    """Data sets: two that are shipped, and your own arrays."""
    return {
        "csv": "hgq2_training.csv:Csv",
        "digits": "hgq2_training.digits:Digits",
        "magic": "hgq2_training.magic:Magic",
        "npz": "hgq2_training.npz:Npz",
    }


@hookimpl
def hgq2_callbacks() -> dict[str, str]:
    """Callbacks: the weight of the cost, its value, and the best models at each."""
    return {
        "beta_schedule": "hgq2_training.beta_schedule:BetaSchedule",
        "ebops": "hgq2_core.callbacks:EbopsLog",
        "noise_schedule": "hgq2_training.noise_schedule:NoiseSchedule",
        "pareto_front": "hgq2_training.pareto_front:ParetoFront",
    }
