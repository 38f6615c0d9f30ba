"""Accuracy over EBOPs: fronts and budgets of this library beside hgq2 0.2.0 on the same data and epochs.

    python benchmarks/pareto.py                                        # this library alone
    python benchmarks/pareto.py digits --seeds 0
    python benchmarks/pareto.py --hgq2-python OTHER_VENV/bin/python    # a venv with hgq2==0.2.0 and torch

`front` is one training with `training.front: {}`; `budget` is a training for each of the budgets of a problem; `plain`
is a training with neither, at the default price and with a cosine: the processor time of the front is compared with
that of it. hgq2 is trained with its documented quantizers and a cosine, once for each of two prices of bits, and all
models that its own callback would keep count together. EBOPs are those after calibration on the training part. Within a
cost the model with the best validation accuracy is chosen, and its accuracy on the test part shown: the mean over the
seeds. `digits` and `magic` have the quantizers of their examples; `digits` moves its training images by up to a third
of a pixel, hgq2's too; `vowels` has nothing but defaults. One thread, one process at a time; steps of this library are
compiled (`jit_compile`).
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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hgq2_core import ModelConfig  # first: hgq2_core chooses the backend

import keras  # isort: skip

from hgq2_core.data.splits import Split, Splits
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
        defaults: the quantizers in this library; empty for its defaults.
        augmentation: arguments of `keras.layers.RandomTranslation`, before the first layer; None for none.
        betas: for hgq2, the price of each training.
        budgets: EBOPs of each training with a budget.
        within: EBOPs at which accuracies are compared.
    """

    data: Result
    units: tuple[int, ...]
    epochs: int
    batch_size: int
    optimizer: Result
    defaults: Result
    augmentation: Result | None
    betas: tuple[float, ...]
    budgets: tuple[float, ...]
    within: tuple[float, ...]


OF_EXAMPLES: Result = {
    "weight": {"kind": "fixed_point.kbi", "b": 6, "i": 0},
    "activation": {"kind": "fixed_point.kif", "i": 3, "f": 4, "overflow_mode": "WRAP"},
}
"""The quantizers of examples/digits.yaml and examples/magic.yaml."""

PROBLEMS: dict[str, Problem] = {
    "digits": Problem(
        {"kind": "training.digits", "shape": [8, 8, 1]},
        (16, 10),
        200,
        32,
        {"kind": "adam", "learning_rate": 0.01},
        OF_EXAMPLES,
        {"height_factor": 0.045, "width_factor": 0.045, "fill_mode": "constant"},
        (1e-6, 1e-5),
        (4500, 1200),
        (45000, 28500, 4500, 1200),
    ),
    "magic": Problem(
        {"kind": "training.magic"},
        (32, 32, 1),
        60,
        512,
        {"kind": "adam", "learning_rate": 0.005},
        OF_EXAMPLES,
        None,
        (1e-6, 1e-5),
        (18000, 9567),
        (54000, 28700, 18000, 9567),
    ),
    "vowels": Problem(
        {"kind": "training.vowels", "validation_fraction": 0.25},
        (32, 9),
        60,
        32,
        {"kind": "adam"},
        {},
        None,
        (1e-6, 1e-5),
        (236420,),
        (474000, 236420, 100000, 50000),
    ),
}
SEEDS = (0, 1, 2)
KERAS_ADAM = 0.001
"""The learning rate of Keras' Adam by default."""


def document(problem: Problem, seed: int, shape: Sequence[int], target: Result) -> Result:
    """Return the config of this library, with a front or a budget."""
    *hidden, outputs = problem.units
    binary = outputs == 1
    return {
        "seed": seed,
        "defaults": problem.defaults,
        "model": {
            "inputs": {"x": {"shape": list(shape)}},
            "layers": [
                *([{"kind": "keras.RandomTranslation", **problem.augmentation}] if problem.augmentation else []),
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
            "jit_compile": True,
            **target,
        },
    }


def splits_of(problem: Problem) -> Splits:
    """Return the data of a problem."""
    return ModelConfig.parse(document(problem, 0, [1], {"front": {}})).load_data()


def front(problem: Problem, seed: int) -> list[Point]:
    """Train a front with this library, and measure its models."""
    splits = splits_of(problem)
    config = ModelConfig.parse(document(problem, seed, splits.train.x.shape[1:], {"front": {}}))
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run")
        return [
            {
                "ebops": point.ebops,
                "validation": next(value for name, value in point.metrics.items() if name != "ebops"),
                "test": accuracy(load(run.directory, front=point.number), splits.test),
            }
            for point in read_front(run.directory)
        ]


def budgets(problem: Problem, seed: int) -> list[Point]:
    """Train with this library for each budget, and measure the models."""
    splits = splits_of(problem)
    found = []
    for most in problem.budgets:
        target = {"budget": {"ebops": most}, "schedule": "cosine"}
        config = ModelConfig.parse(document(problem, seed, splits.train.x.shape[1:], target))
        with tempfile.TemporaryDirectory() as folder:
            run = train(config, Path(folder) / "run")
            model = load(run.directory)
        validation, test = (accuracy(model, each) for each in (splits.validation or splits.train, splits.test))
        found.append({"ebops": run.metrics["ebops"], "validation": validation, "test": test})
    return found


def plain(problem: Problem, seed: int) -> list[Point]:
    """Train once with this library, without front or budget, and measure the model."""
    splits = splits_of(problem)
    config = ModelConfig.parse(document(problem, seed, splits.train.x.shape[1:], {"schedule": "cosine"}))
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run")
        model = load(run.directory)
    validation, test = (accuracy(model, each) for each in (splits.validation or splits.train, splits.test))
    return [{"ebops": run.metrics["ebops"], "validation": validation, "test": test}]


def accuracy(model: keras.Model, split: Split) -> float:
    """Return the accuracy on a part of the data."""
    return next(value for name, value in evaluate(model, split).items() if name != "loss")


def theirs(problem: Problem, seed: int, python: str) -> list[Point]:
    """Train with hgq2 in its own process for each schedule of beta, and return all models that it would keep."""
    splits = splits_of(problem)
    parts = {"train": splits.train, "validation": splits.validation or splits.train, "test": splits.test}
    task = {
        "seed": seed,
        "units": problem.units,
        "shape": splits.train.x.shape[1:],
        "augmentation": problem.augmentation,
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
    names: Sequence[str] = tuple(PROBLEMS),
    seeds: Sequence[int] = SEEDS,
    hgq2_python: str | None = None,
    only: Sequence[str] = (),
) -> Iterator[Result]:
    """Train everything, one result for each problem, seed and contender; `cpu_seconds` are of this process alone."""
    contenders: dict[str, Callable[[Problem, int], list[Point]]] = {"plain": plain, "front": front, "budget": budgets}
    if hgq2_python:
        contenders["hgq2"] = partial(theirs, python=hgq2_python)
    for name in names:
        for seed, (contender, measure) in product(seeds, contenders.items()):
            if only and contender not in only:
                continue
            began, used = time.perf_counter(), time.process_time()
            points = measure(PROBLEMS[name], seed)
            seconds, cpu = round(time.perf_counter() - began, 1), round(time.process_time() - used, 1)
            yield {
                **{"data": name, "seed": seed, "contender": contender},
                **{"seconds": seconds, "cpu_seconds": cpu, "points": points},
            }


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
            for contender in ("hgq2", "plain", "front", "budget"):
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


def time_ratios(measured: Sequence[Result]) -> Iterator[str]:
    """Yield, for each data set, the processor time of a front relative to that of one training: the median of seeds."""
    used = {(each["data"], each["seed"], each["contender"]): each.get("cpu_seconds") for each in measured}
    for name in PROBLEMS:
        ratios = [
            seconds / one
            for (data, seed, contender), seconds in used.items()
            if (data, contender) == (name, "front") and seconds and (one := used.get((name, seed, "plain")))
        ]
        if ratios:
            yield f"{name}: a front of 8 points takes {statistics.median(ratios):.2f} times the time of one training"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="DATA", help=f"of {', '.join(PROBLEMS)}; all by default")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--only", nargs="*", default=[], help="of plain, front, budget, hgq2; all by default")
    parser.add_argument("--hgq2-python", help="interpreter of a virtual environment that holds hgq2 0.2.0")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(PROBLEMS)):
        parser.error(f"no such data. Received: {', '.join(unknown)}. Allowed: {', '.join(PROBLEMS)}.")
    measured = []
    names = arguments.names or tuple(PROBLEMS)
    for result in results(names, arguments.seeds, arguments.hgq2_python, arguments.only):
        print(json.dumps(result), file=sys.stderr, flush=True)
        measured.append(result)
    print("\n".join([*table(measured), "", *time_ratios(measured)]))


if __name__ == "__main__":
    main()
