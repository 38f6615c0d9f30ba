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


@hookimpl
def hgq2_commands() -> dict[str, str]:
    """Subcommands of `hgq2` that train, and that work on runs."""
    return {
        "calibrate": "hgq2_training.commands.runs:calibrate",
        "demo": "hgq2_training.commands.train:demo",
        "doctor": "hgq2_training.commands.doctor:doctor",
        "estimate": "hgq2_training.commands.export:estimate",
        "export": "hgq2_training.commands.export:export",
        "quantize": "hgq2_training.commands.quantize:quantize",
        "report": "hgq2_training.commands.runs:report",
        "train": "hgq2_training.commands.train:train",
        "verify": "hgq2_training.commands.runs:verify",
    }
