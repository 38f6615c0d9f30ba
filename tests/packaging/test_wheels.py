"""What a user installs: the wheels, without the repository around them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import keras
import numpy as np
import pytest

from hgq2_layers import QDense

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, *map(str, PROJECTS)], check=True, capture_output=True, timeout=300)
    found = {path.name.split("-")[0]: path for path in folder.glob("*.whl")}
    assert len(found) == len(PROJECTS)
    return found


def install(wheels, target):
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        *map(str, wheels),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def run(target, code):
    # -S and a path of our own: the editable installs of the repository must not be seen.
    site = [path for path in sys.path if path.endswith("site-packages")]
    program = f"import sys; sys.path[:0] = [{str(target)!r}]; sys.path += {site!r}\n{code}"
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "PYTHONPATH": ""}
    return subprocess.run(
        [sys.executable, "-S", "-c", program], env=environment, capture_output=True, text=True, cwd=target, timeout=300
    )


def test_the_wheels_hold_what_they_need(wheels):
    core = ZipFile(wheels["hgq2_core"]).namelist()
    training = ZipFile(wheels["hgq2_training"]).namelist()
    assert "hgq2_core/demo/digits.yaml" in core
    assert "hgq2_core/py.typed" in core
    assert {"digits_8x8.npz", "magic_gamma.npz", "README.md"} <= {
        Path(name).name for name in training if "/data/" in name
    }
    assert not [name for name in core + training if name.startswith("tests/")]


def test_installed_wheels_are_found(wheels, tmp_path):
    install(wheels.values(), tmp_path)
    code = "import json, hgq2_core; print(json.dumps([[p.name, p.state, p.location] for p in hgq2_core.plugins()]))"
    assert (tmp_path / "bin" / "hgq2").exists()
    found = json.loads(run(tmp_path, code).stdout)
    names = ("alkaid", "attention", "fixed_point", "layers", "minifloat", "training")
    assert found == [[name, "loaded", str(tmp_path)] for name in names]


def test_a_model_without_its_plugin_names_what_to_install(wheels, tmp_path):
    model = keras.Sequential([keras.Input((4,)), QDense(2)])
    model(np.zeros((1, 4), "float32"))
    model.save(tmp_path / "model.keras")
    target = tmp_path / "site"
    install([path for name, path in wheels.items() if name != "hgq2_layers"], target)
    # The repository's own metadata is on the path too; only what lies in the target counts.
    code = f"""
import importlib.metadata as metadata
found = metadata.entry_points
metadata.entry_points = lambda **query: [e for e in found(**query) if str(e.dist._path).startswith({str(target)!r})]
import hgq2_core, keras
try:
    keras.saving.load_model({str(tmp_path / "model.keras")!r})
except hgq2_core.HGQ2Error as error:
    print(error)
"""
    result = run(target, code)
    assert "layers.dense" in result.stdout, result.stderr
    assert "pip install hgq2-layers" in result.stdout
