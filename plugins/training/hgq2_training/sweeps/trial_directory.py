"""The directory of a trial: a run directory, with a folder `trial` in which sweep and trial tell each other things.

trial.json      what the sweep asks for: values, config, objectives
epochs.jsonl    the objectives after each epoch, a line each
stop            written by the sweep: why the trial is to stop after this epoch
outcome.json    what the trial measured, or how it failed; without it the trial is not finished
log.txt         what its process printed
.lock           held by the process of the trial while it lives
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hgq2_core.errors import ModelFileError
from hgq2_core.files import make_folder, read_json, write_json, write_text
from hgq2_training.runs.files import TRIAL

TRIALS, GIVEN_UP = "trial", "given_up"
_NAME = re.compile(rf"({TRIALS}|{GIVEN_UP})_(\d{{4,}})")


class TrialDirectory:
    """The directory of a trial; it need not exist.

    Args:
        path: the run directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.folder = self.path / TRIAL
        self.log = self.folder / "log.txt"

    @property
    def number(self) -> int:
        """The number of the trial in the study."""
        found = _NAME.fullmatch(self.path.name)
        if found is None:
            raise ModelFileError(f"{self.path}: is not the directory of a trial. Allowed: a name such as trial_0000.")
        return int(found[2])

    def ask(self, request: Mapping[str, Any]) -> None:
        """Write what the sweep asks for; the folder is made."""
        make_folder(self.folder)
        write_json(self.folder / "trial.json", request)

    @property
    def request(self) -> dict[str, Any]:
        """What the sweep asks for; empty if it was not written."""
        return self._read("trial.json")

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Write the outcome, which ends the trial."""
        write_json(self.folder / "outcome.json", outcome)

    @property
    def outcome(self) -> dict[str, Any]:
        """The outcome; empty if the trial is not finished."""
        return self._read("outcome.json")

    def add_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the objectives after an epoch."""
        with (self.folder / "epochs.jsonl").open("a", encoding="utf-8") as file:
            # The newline comes first, so that this line is whole also after one that a killed process did not finish.
            file.write("\n" + json.dumps({"epoch": epoch, **values}))

    @property
    def epochs(self) -> list[dict[str, float]]:
        """The objectives after each epoch so far; of an epoch that was trained again, the last."""
        path = self.folder / "epochs.jsonl"
        found = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                entry = json.loads(line)
                found[int(entry.pop("epoch"))] = entry
            except (ValueError, KeyError, AttributeError):  # a line that a killed process did not finish
                continue
        return [found[epoch] for epoch in sorted(found)]

    def stop(self, reason: str) -> None:
        """Ask the trial to stop after this epoch."""
        write_text(self.folder / "stop", reason)

    @property
    def stopped(self) -> str:
        """Why the trial is to stop; empty if it is not."""
        path = self.folder / "stop"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @contextmanager
    def alive(self) -> Iterator[bool]:
        """Hold the lock that says that the trial lives; yield False if another process has it, or nothing is there."""
        lock = FileLock(self.folder / ".lock", blocking=False)
        try:
            held = self.folder.is_dir() and bool(lock.acquire())
        except (Timeout, FileNotFoundError):
            held = False
        try:
            yield held
        finally:
            lock.release()

    @property
    def is_alive(self) -> bool:
        """Whether a process has the lock."""
        if not self.folder.is_dir():
            return False
        with self.alive() as free:
            return not free

    def rename(self, path: Path) -> bool:
        """Move the directory to that of another trial, which goes on with it; return False if its process lives."""
        with self.alive() as free:
            if free:
                self.path.rename(path)
            return free

    def _read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.folder / name, {})
        return found


def trial_directory(sweep: Path, number: int, name: str = TRIALS) -> TrialDirectory:
    """Return the directory of a trial by its number.

    Args:
        sweep: the directory of the sweep.
        number: of the trial.
        name: `GIVEN_UP` for that of a trial whose process died, until it is begun again under another number.
    """
    return TrialDirectory(sweep / f"{name}_{number:04d}")


def trial_directories(sweep: Path, names: Sequence[str] = (TRIALS,)) -> list[TrialDirectory]:
    """Return the directories of trials, in the order of their numbers.

    Args:
        sweep: the directory of the sweep.
        names: `TRIALS`, `GIVEN_UP` or both.
    """
    matches = [(path, _NAME.fullmatch(path.name)) for path in sweep.iterdir() if path.is_dir()]
    found = [TrialDirectory(path) for path, match in matches if match and match[1] in names]
    return sorted(found, key=lambda each: each.number)
