"""Each trial is a task of Ray, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from hgq2_core.errors import ConfigError
from hgq2_training.sweeps.runners.runner import Job, Runner
from hgq2_training.sweeps.trial_directory import TrialDirectory


class Ray(Runner):
    """Tasks of Ray, on this machine or on a cluster with a common file system.

    Args:
        address: of a cluster; None starts Ray on this machine.
        resources: of each task.
        workers: trials at the same time, for which Ray on this machine is started.
    """

    def __init__(self, address: str | None, resources: Mapping[str, Any], workers: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError("sweep.runner: Ray is not installed. pip install 'hgq2-training[ray]'") from error
        from hgq2_training.sweeps.trial import run_trial

        self.ray = ray
        self.mine = not ray.is_initialized()
        if self.mine:
            here = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
            ray.init(address=address, log_to_driver=False, **here)
        try:
            # Keras and its backend keep state of a process, so that each trial gets a new one.
            self.task = ray.remote(max_calls=1, max_retries=0, **resources)(run_trial)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"sweep.runner.resources: Ray refuses it. {error}") from error

    @override
    def start(self, directory: TrialDirectory) -> Job:
        """Submit a trial as a task."""
        return _Task(self.ray, self.task.remote(str(directory.path.resolve())))

    @override
    def close(self) -> None:
        """Shut Ray down, if it was started here."""
        if self.mine:
            self.ray.shutdown()


class _Task(Job):
    def __init__(self, ray: Any, reference: Any) -> None:
        self.ray = ray
        self.reference = reference

    @override
    def running(self) -> bool:
        done, _ = self.ray.wait([self.reference], timeout=0)
        return not done

    @override
    def stop(self) -> None:
        self.ray.cancel(self.reference, force=True)
