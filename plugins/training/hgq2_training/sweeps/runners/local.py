"""Each trial is a process on this machine, with one thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from typing_extensions import override

from hgq2_training.sweeps.runners.runner import Job, Runner
from hgq2_training.sweeps.trial_directory import TrialDirectory

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Local(Runner):
    """Processes of this machine."""

    @override
    def start(self, directory: TrialDirectory) -> Job:
        """Start a trial as a process, whose output goes to the trial's log."""
        environment = {**dict.fromkeys(THREADS, "1"), **os.environ}
        module = "hgq2_training.sweeps.trial"
        command = [sys.executable, "-m", module, str(directory.path), "--parent", str(os.getpid())]
        with directory.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # a terminal's Ctrl-C reaches the sweep alone, which then asks once
            )
        return _Process(process)


class _Process(Job):
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    @override
    def running(self) -> bool:
        return self.process.poll() is None

    @override
    def stop(self) -> None:
        # It then saves its last epoch, as `hgq2 train` does after Ctrl-C.
        if self.running():
            self.process.send_signal(signal.SIGINT)

    @override
    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
