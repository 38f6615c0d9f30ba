"""What starts the trials of a sweep, and tells when their processes have ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from typing_extensions import override

from hgq2_training.sweeps.trial_directory import TrialDirectory


class Job(ABC):
    """A trial that was started. What it found is in its directory; a job only tells whether its process lives."""

    @abstractmethod
    def running(self) -> bool:
        """Return False once the process has ended, in whatever way."""

    @abstractmethod
    def stop(self) -> None:
        """Ask the process to end; the trial can be trained further from its last checkpoint."""

    def kill(self) -> None:
        """End a process that did not end when it was asked to."""
        self.stop()


class Runner(ABC):
    """Starts trials; used in a `with` statement, at whose end no job may be running."""

    @abstractmethod
    def start(self, directory: TrialDirectory) -> Job:
        """Start a trial in its directory."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Give back what the runner holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Adopted(Job):
    """A trial that a former process of the sweep started, and that still runs."""

    def __init__(self, directory: TrialDirectory) -> None:
        self.directory = directory

    @override
    def running(self) -> bool:
        """Return True while its process has the lock of the directory."""
        return self.directory.is_alive

    @override
    def stop(self) -> None:
        """Leave it alone: on this machine it has noticed that its sweep has ended, and a job of a cluster goes on."""
