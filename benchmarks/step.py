"""Time of one training step: plain Keras, this library, and optionally hgq2 0.2.0, side by side.

The model is an MLP 16-64-32-32-5 (ReLU; 5 logits) at batch 1024 on torch with one thread: Adam, sparse categorical
cross-entropy, no metrics, `train_on_batch`. Every contender is a separate process that reads a number from stdin,
runs that many steps and prints the seconds that they took. Rounds are interleaved, in rotating order, so that
changes in the machine's speed affect all of them equally; the ratios are medians of the ratios within a round.

    python benchmarks/step.py
    python benchmarks/step.py --hgq2-python OTHER_VENV/bin/python    # a venv with hgq2==0.2.0 and torch
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

INPUTS, WIDTHS, OUTPUTS, BATCH = 16, (64, 32, 32), 5, 1024
ENVIRONMENT = {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


# --- in a contender's process, which imports of this repository only what it times ------------------------------------


def float_layers() -> list[Any]:
    from keras.layers import Dense

    return [*(Dense(width, activation="relu") for width in WIDTHS), Dense(OUTPUTS)]


def our_layers() -> list[Any]:
    from hgq2_layers import QDense

    return [*(QDense(width, activation="relu") for width in WIDTHS), QDense(OUTPUTS)]


def hgq2_layers() -> list[Any]:
    from hgq.config import LayerConfigScope, QuantizerConfigScope
    from hgq.layers import QDense

    # Its documented defaults, made explicit.
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=1e-5),
    ):
        return [*(QDense(width, activation="relu") for width in WIDTHS), QDense(OUTPUTS)]


CONTENDERS = {"float": float_layers, "ours": our_layers, "hgq2": hgq2_layers}


def work(contender: str) -> None:
    """Read numbers of steps from stdin, and print the seconds that they took and the last loss."""
    answers = os.fdopen(os.dup(1), "w")  # only answers go to the pipe, since libraries may print
    os.dup2(2, 1)

    import keras
    import numpy as np
    import torch

    torch.set_num_threads(1)
    keras.utils.set_random_seed(0)
    layers = CONTENDERS[contender]()
    model = keras.Sequential([keras.Input((INPUTS,)), *layers])
    model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.standard_normal((BATCH, INPUTS)).astype("float32"))
    y = torch.from_numpy(generator.integers(0, OUTPUTS, BATCH))

    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            loss = model.train_on_batch(x, y)
        print(time.perf_counter() - start, float(loss), file=answers, flush=True)


# --- in the main process -----------------------------------------------------------------------------------------


class Worker:
    """A contender's process."""

    def __init__(self, python: str, contender: str) -> None:
        self.name = contender
        self.process = subprocess.Popen(
            [python, str(Path(__file__).resolve()), "--worker", contender],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )
        self.answer()

    def answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: the process ended with code {self.process.wait()} (its message is above)")
        return line

    def steps(self, count: int) -> tuple[float, float]:
        """Run `count` steps, and return the seconds per step and the last loss."""
        print(count, file=self.process.stdin, flush=True)
        seconds, loss = self.answer().split()
        return float(seconds) / count, float(loss)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(workers: list[Worker], rounds: int, steps: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return the seconds per step of each round, and the last losses, by contender."""
    seconds: dict[str, list[float]] = {worker.name: [] for worker in workers}
    losses: dict[str, float] = {}
    for number in range(rounds):
        turn = number % len(workers)
        for worker in workers[turn:] + workers[:turn]:
            time_per_step, losses[worker.name] = worker.steps(steps)
            seconds[worker.name].append(time_per_step)
    return seconds, losses


def report(seconds: dict[str, list[float]], losses: dict[str, float]) -> None:
    names = list(seconds)
    print(f"{'':8}{'median ms':>11}{'min ms':>9}{'max ms':>9}{'loss':>9}" + "".join(f"{'/ ' + n:>9}" for n in names))
    for name, times in seconds.items():
        ratios = [statistics.median(a / b for a, b in zip(times, seconds[other], strict=True)) for other in names]
        row = f"{name:8}{1e3 * statistics.median(times):11.3f}{1e3 * min(times):9.3f}{1e3 * max(times):9.3f}"
        print(row + f"{losses[name]:9.4f}" + "".join(f"{ratio:9.2f}" for ratio in ratios))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hgq2-python", help="interpreter of a virtual environment that holds hgq2 0.2.0")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=10, help="training steps per round and contender")
    parser.add_argument("--warmup", type=int, default=40, help="training steps before the first round")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.worker)

    contenders = {"float": sys.executable}
    if importlib.util.find_spec("hgq2_layers"):
        contenders["ours"] = sys.executable
    else:
        print("hgq2_layers is not installed here: this library is left out (see `make install`)")
    if arguments.hgq2_python:
        contenders["hgq2"] = arguments.hgq2_python

    workers = [Worker(python, name) for name, python in contenders.items()]
    measure(workers, 1, arguments.warmup)
    seconds, losses = measure(workers, arguments.rounds, arguments.steps)
    for worker in workers:
        worker.close()
    sizes = "-".join(str(size) for size in (INPUTS, *WIDTHS, OUTPUTS))
    print(f"MLP {sizes}, batch {BATCH}, torch, one thread; {arguments.rounds} rounds of {arguments.steps} steps each")
    report(seconds, losses)
    print("Ratios: row / column. The loss is the last one; where bits have a price, it includes that.")


if __name__ == "__main__":
    main()
