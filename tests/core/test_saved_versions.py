"""What each version has saved, a config, models and a run, is what the present one loads, computes and goes on with."""

from __future__ import annotations

import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest

import hgq2_core
from hgq2_training.runs.train import resume

ARCHIVES = sorted((Path(__file__).parents[1] / "golden" / "saved").glob("*.tar.xz"))

pytestmark = [pytest.mark.slow, pytest.mark.once]


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("saved")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_the_present_version_is_among_them() -> None:
    assert f"{hgq2_core.__version__}.tar.xz" in [path.name for path in ARCHIVES], "run scripts/write_saved.py"


def test_models_compute_what_they_computed_and_cost_what_they_cost(saved: Path) -> None:
    values = np.load(saved / "values.npz")
    for name in ("model", "frozen"):
        model = hgq2_core.load_model(saved / "run" / f"{name}.keras")
        np.testing.assert_array_equal(model.predict(values["x"], verbose=0), values[name])
        assert hgq2_core.ebops(model) == values["ebops"]
        assert hgq2_core.verify(model, values["x"]).mismatches == 0


def test_plain_keras_loads_them_too(saved: Path) -> None:
    values = np.load(saved / "values.npz")
    model = keras.saving.load_model(saved / "run" / "frozen.keras")
    np.testing.assert_array_equal(model.predict(values["x"], verbose=0), values["frozen"])


def test_the_config_says_what_it_said(saved: Path) -> None:
    written = hgq2_core.load_config(saved / "config.yaml")
    resolved = hgq2_core.load_config(saved / "run" / "config.yaml")
    built = [model.build() for model in (written, resolved)]
    configs = [[layer.get_config() for layer in model.layers] for model in built]
    assert configs[0] == configs[1]


def test_a_training_goes_on_and_its_front_is_there(saved: Path) -> None:
    run = resume(saved / "run", epochs=3)
    assert run.verification is not None and run.verification.mismatches == 0
    assert sorted((saved / "run" / "front").glob("*.keras"))
