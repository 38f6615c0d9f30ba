"""Each trial is a job of a cluster, or of submitit's own executor on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from hgq2_core.errors import ConfigError
from hgq2_core.files import make_folder
from hgq2_training.sweeps.runners.runner import Job, Runner
from hgq2_training.sweeps.trial_directory import TrialDirectory

FOLDER = "submitit"


class Submitit(Runner):
    """Jobs of submitit; its own files are in the folder `submitit` of the sweep.

    Args:
        cluster: `slurm` or `local`.
        parameters: of each job.
        directory: of the sweep.
    """

    def __init__(self, cluster: str, parameters: Mapping[str, Any], directory: Path) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                "sweep.runner: submitit is not installed. pip install 'hgq2-training[submitit]'"
            ) from error
        try:
            self.executor = submitit.AutoExecutor(make_folder(directory / FOLDER), cluster=cluster)
            self.executor.update_parameters(**parameters)
        except (NameError, RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(f"sweep.runner: submitit refuses it. {type(error).__name__}: {error}") from error

    @override
    def start(self, directory: TrialDirectory) -> Job:
        from hgq2_training.sweeps.trial import run_trial

        return _Submitted(self.executor.submit(run_trial, str(directory.path.resolve())))


class _Submitted(Job):
    def __init__(self, job: Any) -> None:
        self.job = job

    @override
    def running(self) -> bool:
        return not self.job.done()

    @override
    def stop(self) -> None:
        self.job.cancel()
