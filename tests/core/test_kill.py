"""A run that is killed, again and again, in the middle of its writing: its files are whole, and it can be resumed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_runs import config, everything

from hgq2_training.runs.directory import load, load_checkpoint, load_recorded, read_metrics
from hgq2_training.runs.train import resume, train

KILLS = 20
EPOCHS = 200

# One process imports everything once, and forks a training for each line that it reads.
NURSERY = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import hgq2_core
from hgq2_training.callbacks import throttle
from hgq2_training.runs import train as training_run
from training_runs import config
throttle.SHARE = 0.9  # write as often as can be
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        directory = Path(line.strip())
        if (directory / "config.yaml").exists():
            training_run.resume(directory)
        else:
            training_run.train(config(epochs={EPOCHS}), directory)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()  # until then it has its number, even if it ends by itself
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes")
def test_a_run_killed_at_any_moment_is_whole_and_goes_on_to_the_same_result(tmp_path: Path) -> None:
    run, moments, seen = tmp_path / "run", random.Random(0), set()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as nursery:
        assert nursery.stdin is not None and nursery.stdout is not None
        for _ in range(KILLS):
            print(run, file=nursery.stdin, flush=True)
            child = int(nursery.stdout.readline())
            work(run, moments)
            os.kill(child, signal.SIGKILL)
            print("killed", file=nursery.stdin, flush=True)
            assert nursery.stdout.readline() == "ended\n"
            seen.add(check(run))
            if read_metrics(run):  # the training came to its end before the kill
                break
        nursery.stdin.close()
    assert len(seen) > 3, "the kills did not reach different epochs"
    if not read_metrics(run):
        resume(run) if (run / "config.yaml").exists() else train(config(epochs=EPOCHS), run)
    train(config(epochs=EPOCHS), tmp_path / "undisturbed")
    assert everything(run) == everything(tmp_path / "undisturbed")


def work(run: Path, moments: random.Random) -> None:
    """Let a training begin, or, three times in four, come as far as its next checkpoint and a little further."""
    known, end = written(run), time.monotonic() + 60.0 * (moments.random() > 0.25)
    while written(run) == known and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(moments.uniform(0.0, 0.3))


def written(run: Path) -> list[int]:
    """When the checkpoint, and what a finished run has, were written."""
    return [path.stat().st_mtime_ns for name in ("checkpoint.npz", "metrics.json") if (path := run / name).exists()]


def check(run: Path) -> int:
    """Read all that a killed run has left, and give the epochs that are done."""
    if not (run / "config.yaml").exists():
        return 0
    load_recorded(run)
    checkpoint = load_checkpoint(run)
    if (run / "history.json").exists():
        json.loads((run / "history.json").read_text())
    if (run / "model.keras").exists():
        load(run)
    if (run / "front" / "front.json").exists():
        json.loads((run / "front" / "front.json").read_text())
    return 0 if checkpoint is None else checkpoint.epoch
