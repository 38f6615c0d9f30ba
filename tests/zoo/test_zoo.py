"""Models as people write them, from plain Keras to a verified and saved quantized model, without a rule."""

from __future__ import annotations

import importlib.util
import shutil

import keras
import numpy as np
import pytest
from selection import few, nightly, slow
from zoo.models import ZOO

from hgq2_core import calibrate, ebops, export, fit_ranges, freeze, load_model, quantize_model, verify
from hgq2_core.exporting.export import exporter_of

SAMPLES = 1000
FAST = ("residual_mlp", "several_outputs")
SIMULATED = (
    *FAST, "siamese", "maxout", "gated_by_comparison", "autoencoder", "shared_layer", "nested", "highway", "d_linear",
    "factorization_machine", "mlp_mixer", "squeeze_excitation", "subclassed_blocks",
)  # fmt: skip


def data_of(model: keras.Model, samples: int, scale: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 10, (samples, *tensor.shape[1:]))
        if "int" in tensor.dtype
        else rng.normal(scale=scale, size=(samples, *tensor.shape[1:])).astype(np.float32)
        for tensor in model.inputs
    ]


def settled(plain: keras.Model) -> None:
    """Let batch normalizations have statistics of their own, as those of a trained model."""
    rng = np.random.default_rng(1)
    for variable in plain.variables:
        if variable.name in ("moving_mean", "beta", "bias"):
            variable.assign(rng.normal(scale=0.2, size=tuple(variable.shape)))
        elif variable.name in ("moving_variance", "gamma"):
            variable.assign(rng.uniform(0.5, 1.5, size=tuple(variable.shape)))


@pytest.mark.parametrize("name", few(ZOO, *FAST))
def test_it_is_converted_trained_verified_and_saved(name, tmp_path):
    keras.utils.set_random_seed(0)
    plain = ZOO[name]()
    settled(plain)
    x = data_of(plain, SAMPLES)
    wanted = keras.tree.map_structure(np.asarray, plain.predict(x, verbose=0))

    model = quantize_model(plain)
    fit_ranges(model, x)
    found = model.predict(x, verbose=0)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True):
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
    for one, other in zip(*(keras.tree.flatten(each.predict(x, verbose=0)) for each in (model, loaded)), strict=True):
        assert np.array_equal(one, other)


LOADING = """
    import hgq2_core, json, keras, numpy as np, pathlib

    differing = []
    for file in sorted(pathlib.Path(".").glob("*.keras")):
        data = np.load(file.with_suffix(".npz"))
        x = [data[name] for name in data.files if name[0] == "x"]
        outputs = hgq2_core.load_model(file).predict(x if len(x) > 1 else x[0], verbose=0)
        wanted = [data[name] for name in data.files if name[0] == "y"]
        if not all(map(np.array_equal, keras.tree.flatten(outputs), wanted)):
            differing.append(file.stem)
    print(json.dumps([differing, len(list(pathlib.Path(".").glob("*.keras"))), keras.backend.backend()]))
"""


@pytest.mark.once
@pytest.mark.parametrize(
    "names", [slow(FAST), *(nightly(tuple(ZOO)[n::6]) for n in range(6))], ids=lambda names: names[0]
)
def test_they_give_the_same_bits_in_a_fresh_process_and_on_jax(names, tmp_path, fresh_python):
    for name in names:
        frozen, x = deployable(name, 8, 50)
        frozen.save(tmp_path / f"{name}.keras")
        y = keras.tree.flatten(frozen.predict(x, verbose=0))
        given = {f"x{n:02}": each for n, each in enumerate(x)}
        np.savez(tmp_path / f"{name}.npz", **given, **{f"y{n:02}": each for n, each in enumerate(y)})
    assert fresh_python(LOADING) == [[], len(names), "torch"]
    if importlib.util.find_spec("jax"):
        assert fresh_python(LOADING, KERAS_BACKEND="jax") == [[], len(names), "jax"]


def deployable(name: str, bits: int, samples: int) -> tuple[keras.Model, list[np.ndarray]]:
    """Return a frozen model of the zoo, not trained, and data."""
    keras.utils.set_random_seed(0)
    plain = ZOO[name]()
    settled(plain)
    x = data_of(plain, samples)
    model = quantize_model(plain, bits=bits)
    fit_ranges(model, x)
    calibrate(model, x)
    return freeze(model), x


RAW = {"deep_sets": {"input_format": (1, 3, 6)}, "words": {"input_format": (0, 4, 0)}}
"""What exports need where a mask comes from inputs that nothing has quantized."""


@pytest.mark.once
@pytest.mark.parametrize("name", [slow(name) if name in SIMULATED else nightly(name) for name in ZOO])
def test_its_emulator_is_compiled(name, tmp_path):
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler is installed: apt-get install g++")
    model, x = deployable(name, 4, 100)
    export(model, "cpp", tmp_path / "emulator", x, **RAW.get(name, {}))
    simulation = exporter_of("cpp").simulate(tmp_path / "emulator")
    assert simulation.mismatches == 0
    assert simulation.samples >= 100


@pytest.mark.once
@pytest.mark.parametrize("name", [slow(name) if name in FAST else nightly(name) for name in SIMULATED])
def test_its_circuit_is_simulated(name, tmp_path):
    if shutil.which("iverilog") is None:
        pytest.skip("no Verilog simulator is installed: apt-get install iverilog")
    model, x = deployable(name, 4, 200)
    export(model, "alkaid", tmp_path / "circuit", x)
    simulation = exporter_of("alkaid").simulate(tmp_path / "circuit")
    assert simulation.mismatches == 0
    assert simulation.samples >= 200
