"""The kinds and commands of this plugin."""

from __future__ import annotations

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_datasets() -> dict[str, str]:
    """Data sets: three that are included, one that is generated, and files of the user."""
    return {
        "csv": "hgq2_training.datasets.csv:Csv",
        "digits": "hgq2_training.datasets.digits:Digits",
        "hdf5": "hgq2_training.datasets.hdf5:Hdf5",
        "magic": "hgq2_training.datasets.magic:Magic",
        "npy": "hgq2_training.datasets.npy:Npy",
        "npz": "hgq2_training.datasets.npz:Npz",
        "parquet": "hgq2_training.datasets.parquet:Parquet",
        "root": "hgq2_training.datasets.root:Root",
        "toy_jets": "hgq2_training.datasets.toy_jets:ToyJets",
        "vowels": "hgq2_training.datasets.vowels:Vowels",
    }


@hookimpl
def hgq2_callbacks() -> dict[str, str]:
    """Callbacks: schedules of the cost's weight and of the noise, the EBOPs in the logs, and the Pareto front."""
    return {
        "beta_schedule": "hgq2_training.callbacks.beta_schedule:BetaSchedule",
        "early_stopping": "hgq2_training.callbacks.stopping:EarlyStopping",
        "ebops": "hgq2_training.callbacks.epochs:EbopsLog",
        "noise_schedule": "hgq2_training.callbacks.noise_schedule:NoiseSchedule",
        "pareto_front": "hgq2_training.callbacks.pareto_front:ParetoFront",
    }


@hookimpl
def hgq2_commands() -> dict[str, str]:
    """Subcommands of `hgq2` for training, sweeps, runs, conversion and export."""
    return {
        "board": "hgq2_training.commands.board:board",
        "calibrate": "hgq2_training.commands.runs:calibrate",
        "compare": "hgq2_training.commands.compare:compare",
        "demo": "hgq2_training.commands.train:demo",
        "doctor": "hgq2_training.commands.doctor:doctor",
        "estimate": "hgq2_training.commands.export:estimate",
        "export": "hgq2_training.commands.export:export",
        "predict": "hgq2_training.commands.predict:predict",
        "quantize": "hgq2_training.commands.quantize:quantize",
        "report": "hgq2_training.commands.runs:report",
        "sweep": "hgq2_training.commands.sweep:sweep",
        "train": "hgq2_training.commands.train:train",
        "verify": "hgq2_training.commands.runs:verify",
    }
