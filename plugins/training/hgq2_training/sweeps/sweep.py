"""The loop of a sweep: ask for trials, start them, watch them, and tell what they found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hgq2_core.config.preflight.check import check_config
from hgq2_core.config.resolved import differences
from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.files import make_folder, remove_leftovers, write_json, write_text
from hgq2_training.runs.directory import locked
from hgq2_training.sweeps.archive import archive
from hgq2_training.sweeps.config import MAY_CHANGE, Sweep, load_sweep
from hgq2_training.sweeps.index import Index
from hgq2_training.sweeps.runners.runner import Adopted, Job, Runner
from hgq2_training.sweeps.storage import import_optuna, shown
from hgq2_training.sweeps.trial import validation_metrics
from hgq2_training.sweeps.trial_directory import TrialDirectory, trial_directory

FILE, FRONT, TRIALS, ARCHIVE = "sweep.yaml", "front.json", "trials.json", "archive.json"
PAUSE = 0.2
"""Seconds between two looks at the running trials."""
PATIENCE = 20
"""Seconds that interrupted trials have to write their last checkpoints."""


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Args:
        index: the trials.
        trials: number of trials that are wanted.
        running: the running ones.
    """

    index: Index
    trials: int
    running: tuple[TrialDirectory, ...]


def run_sweep(
    sweep: Sweep,
    directory: str | Path,
    trials: int | None = None,
    workers: int | None = None,
    rebuild: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Index:
    """Run a sweep, or go on with one that was stopped at any moment and in any way.

    Args:
        sweep: a checked sweep file.
        directory: a new directory, or that of the sweep.
        trials: number of trials, with those from before; by default that in the file.
        workers: trials at the same time; by default as in the file.
        rebuild: whether to make the study again from the trials' directories.
        report: called again and again with the progress.

    Returns:
        The index of the trials.

    Raises:
        ConfigError: Optuna is not installed; the directory holds another sweep, or another process uses it; the config
            does not fit the data.
    """
    section = sweep.section
    wanted, most = trials or section.trials, workers or section.workers
    directory = Path(directory)
    import_optuna()  # before the seconds that the checks take, and before anything is written
    check_directory(sweep, directory)
    check_sweep(sweep)
    with locked(make_folder(directory)):
        remove_leftovers(directory)
        write_text(directory / FILE, yaml.safe_dump(sweep.to_dict(), sort_keys=False))
        index = Index(sweep, directory, rebuild)
        with section.runner.make(directory, most) as runner:
            jobs: dict[TrialDirectory, Job] = {each: Adopted(each) for each in index.recover()}
            try:
                _loop(index, runner, jobs, wanted, most, report)
            except BaseException:
                _stop(index, jobs)
                raise
            finally:
                write_results(index)
    return index


def _loop(
    index: Index,
    runner: Runner,
    jobs: dict[TrialDirectory, Job],
    trials: int,
    workers: int,
    report: Callable[[Progress], None],
) -> None:
    while True:
        for directory, job in list(jobs.items()):
            ended = not job.running()  # before its last epochs are read
            index.watch(directory)
            if ended:
                del jobs[directory]
                index.tell(directory)
                write_results(index)
        while len(jobs) < workers and index.begun() < trials:
            directory = index.ask()
            jobs[directory] = runner.start(directory)
        report(Progress(index, trials, tuple(jobs)))
        if not jobs:
            return
        time.sleep(PAUSE)


def _stop(index: Index, jobs: Mapping[TrialDirectory, Job]) -> None:
    """End what runs, so that the next call of the sweep goes on with it."""
    for job in jobs.values():
        job.stop()
    end = time.monotonic() + PATIENCE
    while any(job.running() for job in jobs.values()) and time.monotonic() < end:
        time.sleep(PAUSE)
    for job in jobs.values():
        if job.running():
            job.kill()
    index.recover()


def write_results(index: Index) -> None:
    """Write all trials, the front, and the best of all models of the trials as JSON."""
    for name, rows in ((TRIALS, index.rows()), (FRONT, index.front())):
        write_json(index.directory / name, [row_to_dict(index, row) for row in rows])
    write_json(index.directory / ARCHIVE, [model.to_dict() for model in archive(index)])


def row_to_dict(index: Index, row: Any) -> dict[str, Any]:
    """Return a trial as plain data, with its directory; None where another trial has gone on in that."""
    path = trial_directory(index.directory, row.number).path
    return {**vars(row), "directory": str(path) if path.is_dir() else None}


def check_directory(sweep: Sweep, directory: Path) -> None:
    """Check that a directory is new, or holds this sweep.

    Raises:
        ConfigError: it has other contents, or a sweep with another space, other objectives or another model.
    """
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not (directory / FILE).is_file():
        if {path.name for path in directory.iterdir()} <= {".lock"}:
            return
        raise ConfigError(f"{directory}: exists and is not empty; a sweep needs a new directory.")
    before = load_sweep(directory / FILE)
    changed = [
        each
        for each in differences(before.complete(), sweep.complete())
        if not each.startswith(tuple(f"sweep.{name}{end}" for name in MAY_CHANGE for end in ":."))
    ]
    if changed:
        raise ConfigError(
            f"{directory}: was started with another sweep. {shown('; '.join(changed))}. Go on with the same, in "
            f"which only {', '.join(MAY_CHANGE)} may change, or sweep in a new directory."
        )


def check_sweep(sweep: Sweep, data: bool = True) -> None:
    """Build the model of a sweep's config, and check that data, training and objectives fit together.

    Args:
        sweep: a sweep file.
        data: whether to open the data.

    Raises:
        ConfigError: something does not fit; the message has its place.
        DataError: the data cannot be read, or do not fit the model.
    """
    if sweep.config.training is None or sweep.config.data is None:
        missing = [name for name in ("data", "training") if getattr(sweep.config, name) is None]
        raise ConfigError(f"{listing(missing)}: is missing; a sweep trains.")
    model = sweep.config.build(exact=True)
    if not data:
        return
    check_config(sweep.config, model)
    allowed = {"ebops", *validation_metrics(model, sweep.config, samples=1)}
    for name in sweep.section.measured:
        if name not in allowed:
            raise ConfigError(
                f"sweep.objectives: there is no metric {name!r}. Allowed: {listing(allowed)}.{nearest(name, allowed)}"
            )
