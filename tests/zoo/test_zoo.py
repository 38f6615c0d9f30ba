"""Models as people write them, from plain Keras to a verified and saved quantized model, without a rule."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from selection import few
from zoo.models import ZOO

from hgq2_core import calibrate, ebops, export, fit_ranges, freeze, load_model, quantize_model, verify

SAMPLES = 1000
FAST = ("residual_mlp", "several_outputs")
SIMULATED = ("residual_mlp", "several_outputs", "siamese", "maxout", "gated_by_comparison")


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


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_its_circuit_is_simulated(name, tmp_path):
    pytest.importorskip("alkaid", reason="the exporter is optional")
    keras.utils.set_random_seed(0)
    plain = ZOO[name]()
    x = data_of(plain, 200)
    model = quantize_model(plain, bits=4)
    fit_ranges(model, x)
    calibrate(model, x)
    export(model, "alkaid", tmp_path / "circuit", x)
