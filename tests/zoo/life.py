"""Take models of the zoo from plain Keras to a circuit or an emulator, and load what was saved in a fresh process.

    python life.py live FOLDER [NAME ...]     # a line of JSON for each model, whose files are then in FOLDER/NAME
    python life.py load FOLDER FILE ...       # a line of JSON for each model in FOLDER: which of its files,
                                              # model.keras and frozen.keras, give other bits

The backend is that of KERAS_BACKEND. A trainable model gives the same bits on the backend that saved it, a frozen one
on each.
"""

from __future__ import annotations

import json
import resource
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hgq2_core  # first: it chooses the backend
from hgq2_core.exporting.export import exporter_of

import keras  # isort: skip
import numpy as np  # isort: skip

sys.path.insert(0, str(Path(__file__).parents[1]))
from zoo.models import ZOO

BITS = 4
"""Of every quantizer at first: circuits of more take long to make. test_zoo.py converts to 8."""

SAMPLES, BEYOND = 1000, 4.0
"""How many are verified within the calibrated ranges and as many beyond, and how much larger those are."""

SIMULATED = 250
"""Of them, for the simulation, which adds its own at the bounds."""

SMALL = (
    "residual_mlp", "several_outputs", "siamese", "maxout", "gated_by_comparison", "autoencoder", "shared_layer",
    "nested", "highway", "d_linear", "factorization_machine", "mlp_mixer", "squeeze_excitation", "subclassed_blocks",
)  # fmt: skip
"""Models whose circuits are simulated; those of the others take minutes, so that their emulators are run."""

RAW = {"deep_sets": {"input_format": (1, 5, 6)}, "words": {"input_format": (0, 4, 0)}}
"""What exports need where a mask comes from inputs that nothing has quantized."""

STEPS = {"deep_sets": 2.0**-6}
"""Inputs of these models are multiples of a step, that of their `input_format`."""


def data_of(model: keras.Model, samples: int, scale: float = 1.0) -> list[np.ndarray]:
    """Return random inputs: normal, or words where a model takes integers."""
    rng, step = np.random.default_rng(0), STEPS.get(model.name)

    def inputs(tensor: keras.KerasTensor) -> np.ndarray:
        shape = (samples, *tensor.shape[1:])
        if "int" in tensor.dtype:
            return rng.integers(0, 10, shape)
        values = rng.normal(scale=scale, size=shape)
        return (np.round(values / step) * step if step else values).astype(np.float32)

    return [inputs(tensor) for tensor in model.inputs]


def plain_model(name: str) -> keras.Model:
    """Return a model of the zoo, whose batch normalizations have statistics of their own, as those of a trained one."""
    keras.utils.set_random_seed(0)
    plain = ZOO[name]()
    rng = np.random.default_rng(1)
    for variable in plain.variables:
        if variable.name in ("moving_mean", "beta", "bias"):
            variable.assign(rng.normal(scale=0.2, size=tuple(variable.shape)))
        elif variable.name in ("moving_variance", "gamma"):
            variable.assign(rng.uniform(0.5, 1.5, size=tuple(variable.shape)))
    return plain


def predicted(model: keras.Model, x: list[np.ndarray]) -> list[np.ndarray]:
    """Return a model's outputs, in the order of its output tensors."""
    return [np.asarray(each) for each in keras.tree.flatten(model.predict(x, verbose=0))]


def trained(plain: keras.Model, x: list[np.ndarray]) -> keras.Model:
    """Return the converted model after an epoch of four steps, calibrated."""
    targets = keras.tree.map_structure(lambda outputs: np.asarray(outputs) * 0.9, plain.predict(x, verbose=0))
    model = hgq2_core.quantize_model(plain, bits=BITS)
    hgq2_core.fit_ranges(model, x)
    model.compile("adam", "mse")
    model.fit(x, targets, batch_size=len(x[0]) // 4, epochs=1, verbose=0)
    hgq2_core.calibrate(model, x)
    return model


def live(name: str, folder: Path) -> dict[str, Any]:
    """Convert, train, verify, save and export a model, and simulate what was exported."""
    before = cpu_seconds()
    plain = plain_model(name)
    x, beyond = data_of(plain, SAMPLES), data_of(plain, SAMPLES, BEYOND)
    model = trained(plain, x)
    reports = {place: hgq2_core.verify(model, data) for place, data in (("within", x), ("beyond", beyond))}
    frozen = hgq2_core.freeze(model)
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    frozen.save(folder / "frozen.keras")
    inputs = [np.concatenate(each) for each in zip(x, beyond, strict=True)]
    save_arrays(folder / "x.npz", inputs)
    save_arrays(folder / "y.npz", predicted(frozen, inputs))
    exporter = "alkaid" if name in SMALL else "cpp"
    few = [each[:SIMULATED] for each in x]
    hgq2_core.export(frozen, exporter, folder / exporter, few, **RAW.get(name, {}))
    simulation = exporter_of(exporter).simulate(folder / exporter)
    return {
        **{place: {"samples": each.samples, "mismatches": each.mismatches} for place, each in reports.items()},
        "exporter": exporter,
        "simulation": {"samples": simulation.samples, "mismatches": simulation.mismatches},
        "ebops": hgq2_core.ebops(model),
        "cpu_seconds": round(cpu_seconds() - before, 1),
    }


def differing(folder: Path, files: Sequence[str]) -> list[str]:
    """Return which saved models of a folder give other outputs than those that were saved with them."""
    x, y = map(load_arrays, (folder / "x.npz", folder / "y.npz"))
    models = {file: hgq2_core.freeze(hgq2_core.load_model(folder / file)) for file in files}
    return [file for file, model in models.items() if not all(map(np.array_equal, predicted(model, x), y))]


def save_arrays(path: Path, arrays: list[np.ndarray]) -> None:
    """Save arrays in their order."""
    np.savez(path, **{f"{place:02}": array for place, array in enumerate(arrays)})


def load_arrays(path: Path) -> list[np.ndarray]:
    """Return what `save_arrays` saved."""
    with np.load(path) as arrays:
        return [arrays[name] for name in sorted(arrays.files)]


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it has run."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(command: str, folder: str, *given: str) -> None:
    """Run a command, see above."""
    place = Path(folder)
    for name in given or ZOO if command == "live" else sorted(path.parent.name for path in place.glob("*/y.npz")):
        try:
            result = live(name, place / name) if command == "live" else {"differing": differing(place / name, given)}
        except Exception as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"model": name, **result}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
