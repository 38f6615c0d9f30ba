"""Time of one training step of multi-head attention: plain Keras, this library, and optionally hgq2 0.2.0.

One self-attention layer: batch 128, sequence 32, width 64, 4 heads of 16, a mean squared error, Adam; one thread. The
rounds are those of `step.py`, the numbers are read alike. On torch it also says how much memory a forward pass keeps
for the backward pass, counting each storage once.

    python benchmarks/attention.py
    python benchmarks/attention.py --backend jax
    python benchmarks/attention.py --hgq2-python OTHER_VENV/bin/python    # a venv with hgq2==0.2.0
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from step import ENVIRONMENT, Worker, measure, report

BATCH, SEQUENCE, WIDTH, HEADS = 128, 32, 64, 4


def float_layer() -> Any:
    from keras.layers import MultiHeadAttention

    return MultiHeadAttention(HEADS, WIDTH // HEADS)


def our_layer(**arguments: Any) -> Any:
    from hgq2_attention import QMultiHeadAttention

    return QMultiHeadAttention(HEADS, WIDTH // HEADS, **arguments)


def our_fused_layer() -> Any:
    return our_layer(fuse="qkv")


def hgq2_layer() -> Any:
    from hgq.config import LayerConfigScope, QuantizerConfigScope
    from hgq.layers import QMultiHeadAttention

    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=1e-5),
    ):
        return QMultiHeadAttention(HEADS, WIDTH // HEADS)


CONTENDERS = {"float": float_layer, "ours": our_layer, "fused": our_fused_layer, "hgq2": hgq2_layer}


def work(contender: str) -> None:
    """Read numbers of steps from stdin, and print the seconds that they took and the last loss."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    inputs = keras.Input((SEQUENCE, WIDTH))
    layer = CONTENDERS[contender]()
    model = keras.Model(inputs, layer(inputs, inputs))
    model.compile(optimizer="adam", loss="mse")
    generator = np.random.default_rng(0)
    x = keras.ops.convert_to_tensor(generator.standard_normal((BATCH, SEQUENCE, WIDTH)).astype("float32"))
    y = keras.ops.convert_to_tensor(generator.standard_normal((BATCH, SEQUENCE, WIDTH)).astype("float32"))
    if keras.backend.backend() == "torch":
        print(f"{contender:8}{kept(model, x) / 2**20:9.2f} MiB kept for the backward pass", file=sys.stderr)

    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            loss = model.train_on_batch(x, y)
        print(time.perf_counter() - start, float(loss), file=answers, flush=True)


def kept(model: Any, x: Any) -> int:
    """Return the bytes that a forward pass keeps for the backward pass."""
    import torch

    torch.set_num_threads(1)
    storages: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    parameters = {value.value.untyped_storage().data_ptr() for value in model.variables}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = model(x, training=True)
        total = sum(storage.nbytes() for place, storage in storages.items() if place not in parameters)
        del outputs
    return total


class AttentionWorker(Worker):
    """A contender's process in this benchmark."""

    def __init__(self, python: str, contender: str, backend: str) -> None:
        self.name = contender
        self.process = subprocess.Popen(
            [python, str(Path(__file__).resolve()), "--worker", contender],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **ENVIRONMENT,
                "KERAS_BACKEND": backend,
                "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
            },
        )
        self.answer()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hgq2-python", help="interpreter of a virtual environment that holds hgq2 0.2.0")
    parser.add_argument("--backend", choices=["torch", "jax", "tensorflow"], default="torch")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=4, help="training steps per round and contender")
    parser.add_argument("--warmup", type=int, default=10, help="training steps before the first round")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.worker)

    contenders = {"float": sys.executable, "ours": sys.executable, "fused": sys.executable}
    if arguments.hgq2_python:
        contenders["hgq2"] = arguments.hgq2_python
    workers = [AttentionWorker(python, name, arguments.backend) for name, python in contenders.items()]
    measure(workers, 1, arguments.warmup)
    seconds, losses = measure(workers, arguments.rounds, arguments.steps)
    for worker in workers:
        worker.close()
    print(
        f"Attention, batch {BATCH}, sequence {SEQUENCE}, width {WIDTH}, {HEADS} heads, {arguments.backend}, "
        f"one thread; {arguments.rounds} rounds of {arguments.steps} steps each"
    )
    report(seconds, losses)
    print("Ratios: row / column. The loss is the last one; where bits have a price, it includes that.")


if __name__ == "__main__":
    main()
