"""The commands that train: `train` and `demo`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hgq2_core.commands.options import AsJson, Settings
from hgq2_core.commands.printing import console
from hgq2_core.errors import ConfigError
from hgq2_training.commands.outcome import show_finished

Epochs = Annotated[
    int | None, typer.Option(min=1, help="Number of epochs, in place of that in the config.", show_default=False)
]


def train(
    output: Annotated[Path, typer.Option("-o", "--output", help="A new directory for the run.", show_default=False)],
    file: Annotated[
        Path | None, typer.Argument(help="A model's config, YAML or JSON; not needed to resume.", show_default=False)
    ] = None,
    epochs: Epochs = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in the directory.")] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Train a config; calibrate, verify and report the result.

    The directory then holds config.yaml (complete), model.keras (the last epoch, or what a budget or front chose),
    frozen.keras (to deploy), metrics.json, history.json, report.html and front/.

    After any interruption, `hgq2 train -o DIR --resume` continues from the last checkpoint, to the same result; with a
    larger --epochs it trains a finished run longer. After Ctrl-C, `hgq2 calibrate DIR` finishes the run early.

    Example: hgq2 train examples/digits.yaml -o runs/digits --set training.batch_size=64
    """
    _train(file, output, epochs, resume, settings or (), as_json)


def demo(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A new directory; runs/demo by default.", show_default=False)
    ] = None,
    epochs: Epochs = None,
    as_json: AsJson = False,
) -> None:
    """Train the included digits model on real images, calibrate it, verify every test sample, and report.

    The command downloads nothing, and does the same as `hgq2 train` with your own config.

    Example: hgq2 demo --epochs 20
    """
    from hgq2_training.demo import CONFIG, free_directory

    _train(CONFIG, output or free_directory(Path("runs/demo")), epochs, resume=False, as_json=as_json)


def _train(
    file: Path | None,
    output: Path,
    epochs: int | None,
    resume: bool,
    settings: Sequence[str] = (),
    as_json: bool = False,
) -> None:
    from hgq2_core import load_config
    from hgq2_training.commands.progress import TrainingProgress
    from hgq2_training.runs import train as training_run
    from hgq2_training.runs.files import CONFIG

    if file is None and settings:
        raise ConfigError("train: --set changes values of a config FILE; a run is resumed with its own config.")
    config = None if file is None else load_config(file, settings)
    try:
        with TrainingProgress(console(as_json)) as progress:
            if resume:
                finished = training_run.resume(output, config, epochs, [progress.callback()])
            elif config is None:
                raise ConfigError("train: give the config FILE to train, or --resume to resume a run.")
            else:
                finished = training_run.train(config, output, epochs, [progress.callback()])
    except KeyboardInterrupt as error:
        again = [f"To resume: hgq2 train -o {output} --resume"] if (output / CONFIG).is_file() else []
        raise KeyboardInterrupt(*again) from error
    show_finished(finished, as_json)
