"""Time of a training step, and memory of each device, with a batch divided over the devices of one machine, on jax.

    python benchmarks/devices.py             # 1 and 2 devices, which are made of the CPU where there is no other
    python benchmarks/devices.py --devices 4

The devices of a CPU share its cores and memory: they show that the memory of each falls with their number, and what
dividing costs. A second device takes time off where it has cores of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

SAMPLES, BATCH, ROUNDS = 8192, 2048, 7


def measured(devices: int) -> dict[str, Any]:
    """Return what training on a number of devices takes; the first use of jax in the process."""
    import hgq2_core  # noqa: F401  # isort: skip

    import jax
    import keras
    import numpy as np

    from hgq2_core import DataParallel
    from hgq2_layers import QDense

    with DataParallel(devices).scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((64,)), QDense(64, "relu"), QDense(64, "relu"), QDense(10)])
        model.compile("adam", "mse")
        random = np.random.default_rng(0)
        x, y = (random.normal(size=(SAMPLES, width)).astype("float32") for width in (64, 10))
        model.fit(x, y, batch_size=BATCH, verbose=0)
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            model.fit(x, y, batch_size=BATCH, verbose=0)
            seconds.append(time.perf_counter() - start)

        def loss(trainable: Any, inputs: Any) -> Any:
            variables = [v.value for v in model.non_trainable_variables]
            outputs, _ = model.stateless_call(trainable, variables, inputs, training=True)
            return (outputs**2).mean()

        weights = [v.value for v in model.trainable_variables]
        memory = jax.jit(jax.grad(loss)).lower(weights, x[:BATCH]).compile().memory_analysis()
    return {
        "devices": devices,
        "device": keras.distribution.list_devices()[0].partition(":")[0],
        "step_ms": round(1000 * sorted(seconds)[ROUNDS // 2] / (SAMPLES // BATCH), 2),
        "activations_mb_per_device": round(memory.temp_size_in_bytes / 1e6, 2),
    }


def results(counts: Sequence[int] = (1, 2)) -> Iterator[dict[str, Any]]:
    """Measure each number of devices in a process of its own."""
    for devices in counts:
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags.strip()}
        command = [sys.executable, __file__, "--measure", str(devices)]
        yield json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2], help="numbers of devices")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for result in [measured(arguments.measure)] if arguments.measure else results(arguments.devices):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
