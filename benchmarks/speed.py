"""Time of training and prediction, relative to the same plain Keras model run eagerly; medians of interleaved rounds.

Each contender is a process of its own with one thread, in which the plain model runs beside it, so that changes in the
machine's speed affect both. `step` is a bare training step (torch), `fit` and `predict` are Keras' own; this library
predicts with the frozen form. `kept` is the memory that a forward pass keeps for the backward pass, relative to the
plain model; operations are those of torch, of a step and of a prediction. Ratios are of CPU time and of wall time.

    python benchmarks/speed.py                                           # the table, on torch
    python benchmarks/speed.py --backend jax --cases mlp attention
    python benchmarks/speed.py --compiled                                # with hgq2_core.jit
    python benchmarks/speed.py --growth                                  # with batch and with width
    python benchmarks/speed.py --hgq2-python OTHER_VENV/bin/python       # a venv with hgq2==0.2.0
    python benchmarks/speed.py --write                                   # also RESULTS.md, results.json and the plot
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cases

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    # What `keep_freed_memory` sets, for every contender and the plain model beside it.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_ARENA_MAX": "1",
}
STEPS = 4
"""Batches of one `fit` or `predict`."""
SECONDS = 0.1
"""The plain model runs about so long in a round."""

Result = dict[str, Any]
Run = Callable[[], Any]


# --- in a contender's process ------------------------------------------------------------------------------------


def work(contender: str, compiled: bool, rounds: int, names: list[str]) -> None:
    """Print one JSON line for each case."""
    answers = os.fdopen(os.dup(1), "w")  # only results go to the pipe, since libraries may print
    os.dup2(2, 1)
    import keras

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)
    for name in names:
        result = measure(cases.EVERY_CASE[name], contender, compiled, rounds)
        print(json.dumps({"case": name, **result}), file=answers, flush=True)


def measure(case: cases.Case, contender: Any, compiled: bool, rounds: int) -> Result:
    import keras

    plain, model = cases.build(case, "float"), cases.build(case, contender)
    x, y = cases.data(case, model, STEPS * case.batch)
    batch = x[: case.batch], y[: case.batch]
    result: Result = {}
    if keras.backend.backend() == "torch":
        result |= counted(plain, model, *batch)
        import counting

        steps = [counting.bare_step(each, *batch) for each in (plain, model)]
        result["step"] = ratios(*steps, rounds)
    if compiled:
        import hgq2_core

        hgq2_core.jit(model)

    def fit(model: Any) -> Run:
        return lambda: model.fit(x, y, batch_size=case.batch, verbose=0, shuffle=False)

    start = time.perf_counter()
    fit(model)()
    first = time.perf_counter() - start
    start = time.perf_counter()
    fit(model)()
    result["first_fit_seconds"] = first - (time.perf_counter() - start)
    result["fit"] = ratios(fit(plain), fit(model), rounds)
    deployed = frozen(model, x, compiled) if contender == "ours" else model
    if keras.backend.backend() == "torch":
        result["predict_operations"] = counting.operations(counting.bare_prediction(deployed, batch[0]))

    def predict(model: Any) -> Run:
        return lambda: model.predict(x, batch_size=case.batch, verbose=0)

    result["predict"] = ratios(predict(plain), predict(deployed), rounds)
    return result


def counted(plain: Any, model: Any, x: Any, y: Any) -> Result:
    import counting

    step = counting.bare_step(model, x, y)
    step()  # makes the optimizer's variables
    return {
        "step_operations": counting.operations(step),
        "kept": counting.kept(model, x) / counting.kept(plain, x),
    }


def frozen(model: Any, x: Any, compiled: bool) -> Any:
    import hgq2_core

    hgq2_core.calibrate(model, x)
    deployed = hgq2_core.freeze(model)
    if compiled:
        deployed.compile()
        hgq2_core.jit(deployed)
    return deployed


def ratios(plain: Run, other: Run, rounds: int) -> Result:
    """Return the medians over interleaved rounds of the time of one, relative to that of the other."""
    for run in (plain, other):
        run()
        run()
    repeats = max(1, round(SECONDS / max(1e-6, timed(plain, 1)[1])))
    pairs = [(timed(plain, repeats), timed(other, repeats)) for _ in range(rounds)]
    clocks = ("cpu", "wall")
    return {
        **{clock: statistics.median(b[n] / a[n] for a, b in pairs) for n, clock in enumerate(clocks)},
        "milliseconds": 1e3 * statistics.median(b[0] for _, b in pairs) / repeats,
    }


def timed(run: Run, repeats: int) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        run()
    return time.process_time() - cpu, time.perf_counter() - wall


# --- in the main process -----------------------------------------------------------------------------------------


def results(
    python: str, contender: str, backend: str, compiled: bool, rounds: int, names: list[str]
) -> Iterator[Result]:
    """Measure in a process of its own, one result for each case."""
    flags = ["--compiled"] if compiled else []
    command = [
        python,
        str(HERE / "speed.py"),
        "--worker",
        contender,
        "--rounds",
        str(rounds),
        *flags,
        "--cases",
        *names,
    ]
    environment = {**os.environ, **ENVIRONMENT, "KERAS_BACKEND": backend}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield {"backend": backend, "contender": contender, "compiled": compiled, **json.loads(line)}
    if process.returncode:
        raise SystemExit(f"{contender}: the process ended with code {process.returncode} (its message is above)")


def row(result: Result) -> list[str]:
    """Return a result as the cells of a table."""

    def ratio(name: str) -> str:
        return f"{result[name]['cpu']:.2f} ({result[name]['wall']:.2f})" if name in result else "–"

    def number(name: str, digits: int = 0) -> str:
        return f"{result[name]:.{digits}f}" if name in result else "–"

    who = result["contender"] + (", compiled" if result["compiled"] else "")
    kept = f"{result['kept']:.1f}×" if "kept" in result else "–"
    times = [ratio(name) for name in ("step", "fit", "predict")]
    counts = [number("step_operations"), number("predict_operations"), number("first_fit_seconds", 1)]
    return [cases.EVERY_CASE[result["case"]].name, result["backend"], who, *times, kept, *counts]


TITLES = [
    "case",
    "backend",
    "contender",
    "step",
    "fit",
    "predict",
    "kept",
    "operations of a step",
    "of a prediction",
    "first fit, seconds more",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["torch", "jax", "tensorflow"], default="torch")
    parser.add_argument("--cases", nargs="*", choices=cases.EVERY_CASE, help="the table's by default")
    parser.add_argument("--growth", action="store_true", help="the models that show growth with batch and width")
    parser.add_argument("--compiled", action="store_true", help="with hgq2_core.jit (torch)")
    parser.add_argument("--hgq2-python", help="interpreter of a virtual environment that holds hgq2 0.2.0")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="keep the results in RESULTS.md, beside those of before")
    parser.add_argument("--worker", choices=["ours", "hgq2"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = arguments.cases or list({**cases.BATCHES, **cases.WIDTHS} if arguments.growth else cases.CASES)
    if arguments.worker:
        return work(arguments.worker, arguments.compiled, arguments.rounds, names)
    contenders = {"ours": sys.executable, **({"hgq2": arguments.hgq2_python} if arguments.hgq2_python else {})}
    print(" | ".join(TITLES))
    measured = []
    for contender, python in contenders.items():
        compiled = arguments.compiled and contender == "ours"
        for result in results(python, contender, arguments.backend, compiled, arguments.rounds, names):
            print(" | ".join(row(result)), flush=True)
            measured.append(result)
            if arguments.write:
                import speed_results

                speed_results.keep([result])


if __name__ == "__main__":
    main()
