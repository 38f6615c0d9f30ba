"""Time of one quantizer, forward and backward, relative to a copy of the tensor, torch, and optionally hgq2 0.2.0.

Activations are 33200x64, weights 1024x1024, in float32, with the bits of the defaults (one per element;
activations without the batch axis). Every contender is a separate process with one thread that reads the name of a case
from stdin, and prints the seconds of a forward and backward pass. Rounds are interleaved, in rotating order,
so that changes in the machine's speed affect all of them equally; the ratios are medians of the ratios within a round.

    python benchmarks/quantizer.py
    python benchmarks/quantizer.py --backend jax --hgq2-python OTHER_VENV/bin/python    # a venv with hgq2==0.2.0
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHAPES = {"activation": (33200, 64), "weight": (1024, 1024)}
CASES = {
    f"{role} {kind} {overflow_mode}".strip(): (role, kind, overflow_mode)
    for role in SHAPES
    for kind, overflow_modes in {
        **dict.fromkeys(("kbi", "kif"), ("WRAP", "SAT_SYM", "SAT")),
        **dict.fromkeys(("binary", "ternary", "power_of_two"), ("",)),
    }.items()
    for overflow_mode in overflow_modes
}
Pass = Callable[[], Any]


# --- in a contender's process, which imports of this repository only what it times ------------------------------------


def values(role: str) -> tuple[Any, Any]:
    """Return values, and the gradient with respect to the output."""
    import numpy as np

    generator = np.random.default_rng(0)
    return tuple(generator.standard_normal(SHAPES[role]).astype("float32") for _ in range(2))


def copy(role: str, kind: str, overflow_mode: str) -> Pass:
    import torch

    source = torch.from_numpy(values(role)[0])
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def naive(role: str, kind: str, overflow_mode: str) -> Pass | None:
    """Return the definition in plain torch, differentiated by torch: straight-through rounding, then clamping."""
    import torch

    if not overflow_mode:
        return None
    x, grad = map(torch.from_numpy, values(role))
    x.requires_grad_()
    shape = (1, *x.shape[1:]) if role == "activation" else x.shape
    i, fraction = (torch.full(shape, bits, requires_grad=True) for bits in (2.0, 6.0 if kind == "kif" else 8.0))

    def quantized() -> torch.Tensor:
        if overflow_mode == "WRAP":
            with torch.no_grad():
                most = x.abs().amax(0, keepdim=True) if role == "activation" else x.abs()
                i.copy_(torch.ceil(torch.log2(most + 2.0**-20)))
        f = fraction if kind == "kif" else fraction - i
        step = 2.0**-f
        z = x / step
        q = (z + (torch.floor(z + 0.5) - z).detach()) * step
        if overflow_mode == "WRAP":
            return q
        highest = 2.0**i - step
        return torch.maximum(torch.minimum(q, highest), -highest if overflow_mode == "SAT_SYM" else -(2.0**i))

    return lambda: torch.autograd.grad(quantized(), (x, i, fraction), grad, allow_unused=True)


def ours(role: str, kind: str, overflow_mode: str) -> Pass:
    from hgq2_core.quantizers.config import Slot
    from hgq2_fixed_point import KBI, KIF, Binary, PowerOfTwo, Ternary

    kinds = {"kbi": KBI, "kif": KIF, "binary": Binary, "ternary": Ternary, "power_of_two": PowerOfTwo}
    modes = {"overflow_mode": overflow_mode} if overflow_mode else {}
    quantizer = kinds[kind](**modes).build(Slot(role, "quantizer", "layer"))
    return differentiated(quantizer, lambda x: quantizer.quantize(x, True), role)


def hgq2(role: str, kind: str, overflow_mode: str) -> Pass | None:
    from hgq.quantizer import Quantizer

    if not overflow_mode:
        return None
    place = "datalane" if role == "activation" else "weight"
    quantizer = Quantizer(q_type=kind, place=place, overflow_mode=overflow_mode)
    return differentiated(quantizer, lambda x: quantizer(x, training=True), role)


CONTENDERS = {"copy": copy, "naive": naive, "ours": ours, "hgq2": hgq2}


def differentiated(quantizer: Any, quantized: Callable[[Any], Any], role: str) -> Pass:
    """Return a forward and backward pass, with gradients of values and trained bits."""
    import keras

    shape = SHAPES[role]
    quantizer.build((None, *shape[1:]) if role == "activation" else shape)
    x, grad = values(role)
    return {"torch": _torch, "jax": _jax}[keras.backend.backend()](quantizer, quantized, x, grad)


def _torch(quantizer: Any, quantized: Callable[[Any], Any], x: Any, grad: Any) -> Pass:
    import torch

    x, grad = torch.from_numpy(x).requires_grad_(), torch.from_numpy(grad)
    inputs = (x, *(variable.value for variable in quantizer.trainable_variables))
    return lambda: torch.autograd.grad(quantized(x), inputs, grad, allow_unused=True)


def _jax(quantizer: Any, quantized: Callable[[Any], Any], x: Any, grad: Any) -> Pass:
    import jax
    import keras

    trained, state = quantizer.trainable_variables, quantizer.non_trainable_variables

    def total(inputs: list[Any], present: list[Any]) -> Any:
        x, *bits = inputs
        mapping = [*zip(trained, bits, strict=True), *zip(state, present, strict=True)]
        with keras.StatelessScope(mapping) as scope:
            result = (quantized(x) * grad).sum()
        return result, [scope.get_current_value(variable) for variable in state]

    gradients = jax.jit(jax.grad(total, has_aux=True))
    x, grad = jax.numpy.asarray(x), jax.numpy.asarray(grad)
    inputs, present = [x, *(variable.value for variable in trained)], [variable.value for variable in state]
    return lambda: jax.block_until_ready(gradients(inputs, present))


def work(contender: str) -> None:
    """Read names of cases from stdin, and print the seconds that a pass took, or nothing for an unknown case."""
    answers = os.fdopen(os.dup(1), "w")  # only answers go to the pipe, since libraries may print
    os.dup2(2, 1)
    if os.environ["KERAS_BACKEND"] == "torch" or contender == "copy":
        import torch

        torch.set_num_threads(1)
    known: dict[str, Pass | None] = {}
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        case = line.strip()
        if case not in known:
            known = {case: CONTENDERS[contender](*CASES[case])}  # one at a time, since other cases take memory
            for _ in range(5):
                known[case] and known[case]()
        run, seconds = known[case], []
        for _ in range(3 if run else 0):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        print(statistics.median(seconds) if seconds else "", file=answers, flush=True)


# --- in the main process -----------------------------------------------------------------------------------------


class Worker:
    """A contender's process."""

    def __init__(self, python: str, contender: str, backend: str) -> None:
        self.name = contender
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        # Otherwise glibc may return memory to the system at every pass, depending on the layout of the heap.
        memory = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
        xla = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
        self.process = subprocess.Popen(
            [python, str(Path(__file__).resolve()), "--worker", contender],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads, **memory, **(xla if backend == "jax" else {}), "KERAS_BACKEND": backend},
        )
        self.answer()

    def answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: the process ended with code {self.process.wait()} (its message is above)")
        return line.strip()

    def seconds(self, case: str) -> float | None:
        """Return the seconds of a case; None if this contender has no such quantizer."""
        print(case, file=self.process.stdin, flush=True)
        answer = self.answer()
        return float(answer) if answer else None

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(workers: list[Worker], case: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round, by contender that has the case."""
    seconds: dict[str, list[float]] = {worker.name: [] for worker in workers}
    for number in range(rounds):
        turn = number % len(workers)
        for worker in workers[turn:] + workers[:turn]:
            taken = worker.seconds(case)
            seconds[worker.name] += [] if taken is None else [taken]
    return {name: taken for name, taken in seconds.items() if taken}


def report(case: str, seconds: dict[str, list[float]], names: list[str]) -> None:
    mine = seconds["ours"]
    row = f"{case:26}{1e3 * statistics.median(mine):9.3f}"
    for name in names:
        pairs = zip(mine, seconds.get(name, ()), strict=False)
        ratios = [a / b if name == "copy" else b / a for a, b in pairs]
        row += f"{statistics.median(ratios):9.2f}" if ratios else f"{'-':>9}"
    print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["torch", "jax"], default="torch", help="of this library and of hgq2")
    parser.add_argument("--hgq2-python", help="interpreter of a virtual environment that holds hgq2 0.2.0")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="the cases whose name contains this")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.worker)

    pythons = {"copy": sys.executable, "naive": sys.executable, "ours": sys.executable, "hgq2": arguments.hgq2_python}
    workers = [Worker(python, name, arguments.backend) for name, python in pythons.items() if python]
    others = [worker.name for worker in workers if worker.name != "ours"]
    print(f"{arguments.backend}, one thread, {arguments.rounds} rounds; copy and naive are torch's")
    titles = ["copies" if name == "copy" else f"{name} /" for name in others]
    print(f"{'forward and backward':26}{'ours ms':>9}" + "".join(f"{title:>9}" for title in titles))
    for case in CASES:
        if arguments.only in case:
            report(case, measure(workers, case, arguments.rounds), others)
    for worker in workers:
        worker.close()
    print("copies: our time in copies of the tensor. naive /, hgq2 /: their time over ours, so more is better.")


if __name__ == "__main__":
    main()
