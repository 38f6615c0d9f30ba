"""Models as people write them, from plain Keras to a verified and saved quantized model, without a rule."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from selection import few, nightly, slow
from zoo.life import RAW, SAMPLES, SMALL, data_of, plain_model, predicted
from zoo.models import ZOO

from hgq2_core import calibrate, ebops, export, fit_ranges, freeze, load_model, quantize_model, verify
from hgq2_core.exporting.export import exporter_of

FAST = ("residual_mlp", "several_outputs")
BACKENDS = ("torch", "jax")


@pytest.mark.parametrize("name", few(ZOO, *FAST))
def test_it_is_converted_trained_verified_and_saved(name, tmp_path):
    plain = plain_model(name)
    x = data_of(plain, SAMPLES)
    wanted = keras.tree.map_structure(np.asarray, plain.predict(x, verbose=0))

    model = quantize_model(plain)
    fit_ranges(model, x)
    for one, other in zip(predicted(model, x), keras.tree.flatten(wanted), strict=True):
        assert np.abs(one - other).mean() < 0.1 * np.abs(other).max()

    model.compile("adam", "mse")
    before = ebops(model)
    model.fit(x, keras.tree.map_structure(lambda each: each * 0.9, wanted), batch_size=250, epochs=1, verbose=0)
    assert before > 0
    assert all(np.isfinite(variable).all() for variable in model.get_weights())

    calibrate(model, x)
    assert verify(model, x).mismatches == 0
    assert verify(model, data_of(plain, SAMPLES, 4.0)).mismatches == 0

    frozen = freeze(model)
    frozen.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert all(map(np.array_equal, predicted(model, x), predicted(loaded, x)))


@pytest.mark.once
@pytest.mark.parametrize("name", [slow("several_outputs"), slow("siamese")])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_one_process_saves_gives_the_same_bits_in_another_on_each_backend(backend, name, tmp_path, fresh_python):
    """The nightly set `zoo` takes all models through the same program."""
    pytest.importorskip("jax")

    def result_of(process_backend, command, *given):
        program = str(Path(__file__).with_name("life.py"))
        arguments = [program, command, "files", *given]
        script = f"import runpy, sys; sys.argv = {arguments!r}; runpy.run_path({program!r}, run_name='__main__')"
        return fresh_python(script, KERAS_BACKEND=process_backend)

    life = result_of(backend, "live", name)
    assert life["within"] == life["beyond"] == {"samples": SAMPLES, "mismatches": 0}
    assert life["simulation"]["mismatches"] == 0 < life["simulation"]["samples"]
    for other in BACKENDS:
        files = ["frozen.keras", *(["model.keras"] if other == backend else [])]
        assert result_of(other, "load", *files) == {"model": name, "differing": []}


def deployable(name: str, bits: int, samples: int) -> tuple[keras.Model, list[np.ndarray]]:
    """Return a frozen model of the zoo, not trained, and data."""
    plain = plain_model(name)
    x = data_of(plain, samples)
    model = quantize_model(plain, bits=bits)
    fit_ranges(model, x)
    calibrate(model, x)
    return freeze(model), x


@pytest.mark.once
@pytest.mark.parametrize("name", [slow(name) if name in SMALL else nightly(name) for name in ZOO])
def test_its_emulator_is_compiled(name, tmp_path):
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler is installed: apt-get install g++")
    model, x = deployable(name, 4, 100)
    export(model, "cpp", tmp_path / "emulator", x, **RAW.get(name, {}))
    simulation = exporter_of("cpp").simulate(tmp_path / "emulator")
    assert simulation.mismatches == 0
    assert simulation.samples >= 100


@pytest.mark.once
@pytest.mark.parametrize("name", [slow(name) if name in FAST else nightly(name) for name in SMALL])
def test_its_circuit_is_simulated(name, tmp_path):
    if shutil.which("iverilog") is None:
        pytest.skip("no Verilog simulator is installed: apt-get install iverilog")
    model, x = deployable(name, 4, 200)
    export(model, "alkaid", tmp_path / "circuit", x)
    simulation = exporter_of("alkaid").simulate(tmp_path / "circuit")
    assert simulation.mismatches == 0
    assert simulation.samples >= 200
