"""Accuracy over EBOPs: fronts of this library, from one training each, beside hgq2 0.2.0 on the same data and epochs.

    python benchmarks/pareto.py                                        # this library alone
    python benchmarks/pareto.py digits --seeds 0
    python benchmarks/pareto.py --hgq2-python OTHER_VENV/bin/python    # a venv with hgq2==0.2.0 and torch

Ours is `training.front: {}`; hgq2 is trained with its documented quantizers and a cosine, once for each of two prices
of bits, and all models that its own callback would keep count together. EBOPs are those after calibration on the
training part. Within a cost the model with the best validation accuracy is chosen, and its accuracy on the test part
shown: the mean over the seeds. `digits` and `magic` have the learning rate of their examples, `vowels` nothing but
defaults. One thread, one process at a time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hgq2_core import ModelConfig
from hgq2_core.data.splits import Splits
from hgq2_training.runs.directory import load
from hgq2_training.runs.evaluation import evaluate
from hgq2_training.runs.front import read_front
from hgq2_training.runs.train import train

Result = dict[str, Any]
Point = dict[str, float]


class Problem(NamedTuple):
    """Data and a model.

    Args:
        data: the data set.
        units: of each dense layer; 1 output is a logit, several are classes.
        epochs: passes over the data.
        batch_size: samples of a step.
        optimizer: its arguments in this library; hgq2 gets Adam with the same learning rate.
        betas: for hgq2, the price of each training.
        within: EBOPs at which accuracies are compared.
    """

    data: Result
    units: tuple[int, ...]
    epochs: int
    batch_size: int
    optimizer: Result
    betas: tuple[float, ...]
    within: tuple[float, ...]


PROBLEMS: dict[str, Problem] = {
    "digits": Problem(
        {"kind": "training.digits"},
        (32, 10),
        200,
        128,
        {"kind": "adam", "learning_rate": 0.005},
        (1e-6, 1e-5),
        (45000, 28500, 4500, 1200),
    ),
    "magic": Problem(
        {"kind": "training.magic"},
        (32, 32, 1),
        60,
        512,
        {"kind": "adam", "learning_rate": 0.005},
        (1e-6, 1e-5),
        (54000, 28700, 18000, 9567),
    ),
    "vowels": Problem(
        {"kind": "training.vowels", "validation_fraction": 0.25},
        (32, 9),
        60,
        32,
        {"kind": "adam"},
        (1e-6, 1e-5),
        (100000, 50000, 25000),
    ),
}
SEEDS = (0, 1, 2)
KERAS_ADAM = 0.001
"""The learning rate of Keras' Adam by default."""


def document(problem: Problem, seed: int, shape: Sequence[int]) -> Result:
    """Return the config of this library."""
    *hidden, outputs = problem.units
    binary = outputs == 1
    return {
        "seed": seed,
        "model": {
            "inputs": {"x": {"shape": list(shape)}},
            "layers": [
                *([{"kind": "keras.Flatten"}] if len(shape) > 1 else []),
                *({"kind": "layers.dense", "units": units, "activation": "relu"} for units in hidden),
                {"kind": "layers.dense", "name": "logits", "units": outputs},
            ],
        },
        "data": problem.data,
        "training": {
            "optimizer": problem.optimizer,
            "loss": {"kind": f"{'binary' if binary else 'sparse_categorical'}_crossentropy", "from_logits": True},
            "metrics": [{"kind": "binary_accuracy", "threshold": 0.0} if binary else "accuracy"],
            "epochs": problem.epochs,
            "batch_size": problem.batch_size,
            "front": {},
        },
    }


def splits_of(problem: Problem) -> Splits:
    """Return the data of a problem."""
    return ModelConfig.parse(document(problem, 0, [1])).load_data()


def ours(problem: Problem, seed: int) -> list[Point]:
    """Train a front with this library, and measure its models."""
    splits = splits_of(problem)
    config = ModelConfig.parse(document(problem, seed, splits.train.x.shape[1:]))
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run")
        found = []
        for point in read_front(run.directory):
            test = evaluate(load(run.directory, front=point.number), splits.test)
            validation = next(value for name, value in point.metrics.items() if name != "ebops")
            accuracy = next(value for name, value in test.items() if name != "loss")
            found.append({"ebops": point.ebops, "validation": validation, "test": accuracy})
    return found


def theirs(problem: Problem, seed: int, python: str) -> list[Point]:
    """Train with hgq2 in its own process for each schedule of beta, and return all models that it would keep."""
    splits = splits_of(problem)
    parts = {"train": splits.train, "validation": splits.validation or splits.train, "test": splits.test}
    task = {
        "seed": seed,
        "units": problem.units,
        "shape": splits.train.x.shape[1:],
        "epochs": problem.epochs,
        "batch_size": problem.batch_size,
        "steps": math.ceil(len(splits.train) / problem.batch_size),
        "learning_rate": problem.optimizer.get("learning_rate", KERAS_ADAM),
    }
    worker = Path(__file__).with_name("pareto_hgq2.py")
    environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    found: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.npz"
        np.savez(file, **{f"{name}_{part}": getattr(split, name) for part, split in parts.items() for name in "xy"})
        for beta in problem.betas:
            command = [python, str(worker), json.dumps({**task, "beta": beta}), str(file)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            found += json.loads(done.stdout)
    return found


def results(
    names: Sequence[str] = tuple(PROBLEMS), seeds: Sequence[int] = SEEDS, hgq2_python: str | None = None
) -> Iterator[Result]:
    """Train everything, one result for each problem, seed and contender."""
    for name in names:
        problem = PROBLEMS[name]
        for seed in seeds:
            for contender in ("ours", *(["hgq2"] if hgq2_python else [])):
                began = time.perf_counter()
                points = (
                    ours(problem, seed)
                    if hgq2_python is None or contender == "ours"
                    else theirs(problem, seed, hgq2_python)
                )
                seconds = round(time.perf_counter() - began, 1)
                yield {"data": name, "seed": seed, "contender": contender, "seconds": seconds, "points": points}


def chosen(points: Sequence[Point], within: float) -> Point | None:
    """Return the model with the best validation accuracy within a cost, the cheapest of equals; None without one."""
    allowed = [each for each in points if each["ebops"] <= within]
    return max(allowed, key=lambda each: (each["validation"], -each["ebops"]), default=None)


def table(measured: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of a table in Markdown: means over the seeds of what is chosen within each cost."""
    yield "| data | contender | within | EBOPs | validation | test | seeds |"
    yield "|---|---|---|---|---|---|---|"
    for name, problem in PROBLEMS.items():
        for within in problem.within:
            for contender in ("hgq2", "ours"):
                runs = [each for each in measured if (each["data"], each["contender"]) == (name, contender)]
                found = [point for each in runs if (point := chosen(each["points"], within))]
                if not found:
                    continue
                cost, validation, test = (
                    statistics.mean(each[key] for each in found) for key in ("ebops", "validation", "test")
                )
                yield (
                    f"| {name} | {contender} | {within:,.0f} | {cost:,.0f} | {validation:.1%} | {test:.1%} "
                    f"| {len(found)} of {len(runs)} |"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="DATA", help=f"of {', '.join(PROBLEMS)}; all by default")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--hgq2-python", help="interpreter of a virtual environment that holds hgq2 0.2.0")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(PROBLEMS)):
        parser.error(f"no such data. Received: {', '.join(unknown)}. Allowed: {', '.join(PROBLEMS)}.")
    measured = []
    for result in results(arguments.names or tuple(PROBLEMS), arguments.seeds, arguments.hgq2_python):
        print(json.dumps(result), file=sys.stderr, flush=True)
        measured.append(result)
    print("\n".join(table(measured)))


if __name__ == "__main__":
    main()
