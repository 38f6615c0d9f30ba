"""The wheels as a user gets them: built, installed alone, and used from there."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from hgq2_core import calibrate
from hgq2_layers import QDense

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROJECTS = {
    "hgq2_core": ROOT,
    "hgq2_fixed_point": ROOT / "plugins" / "fixed_point",
    "hgq2_layers": ROOT / "plugins" / "layers",
    "hgq2_training": ROOT / "plugins" / "training",
}
BUILD = "import sys; from flit_core.buildapi import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    return {name: folder / _last_line(_python("-c", BUILD, folder, cwd=path)) for name, path in PROJECTS.items()}


@pytest.fixture
def unpacked(wheels, tmp_path):
    """Unpack wheels in a folder of its own, which is all that they need to be importable and found."""

    def unpack(*names):
        for name in names:
            with zipfile.ZipFile(wheels[name]) as wheel:
                wheel.extractall(tmp_path / "site")
        return tmp_path / "site"

    return unpack


def _python(*arguments, cwd=None, **environ):
    command = [sys.executable, *map(str, arguments)]
    process = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=240
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def _last_line(text):
    return text.splitlines()[-1]


# The repository is installed editable beside: a path hook and .dist-info that must not answer for the wheels.
ONLY = """
import importlib.metadata, sys
site = {site!r}
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path[:] = [site, *[path for path in sys.path if not path.startswith({root!r})]]
found = importlib.metadata.distributions
def distributions(**search):
    for each in found(**search):
        name = (each.metadata["Name"] or "").lower()
        if not name.startswith("hgq2") or str(each.locate_file("")).startswith(site):
            yield each
importlib.metadata.distributions = distributions
"""


def alone(site, script, cwd):
    return _python("-c", ONLY.format(site=str(site), root=str(ROOT)) + script, cwd=cwd, PYTHONPATH=str(site))


def test_wheels_hold_code_data_and_metadata_only(wheels):
    for name, path in wheels.items():
        inside = zipfile.ZipFile(path).namelist()
        assert {entry.split("/")[0].split("-")[0] for entry in inside} == {name}
        assert any(entry.endswith("entry_points.txt") for entry in inside)
        assert not any("test_" in entry or entry.endswith(".pyc") for entry in inside)
    assert "hgq2_core/demo/digits.yaml" in zipfile.ZipFile(wheels["hgq2_core"]).namelist()
    assert "hgq2_core/py.typed" in zipfile.ZipFile(wheels["hgq2_core"]).namelist()
    training = zipfile.ZipFile(wheels["hgq2_training"]).namelist()
    assert {"hgq2_training/data/digits_8x8.npz", "hgq2_training/data/magic_gamma.npz"} <= set(training)


def test_installed_wheels_are_found(unpacked, tmp_path):
    site = unpacked(*PROJECTS)
    script = """
import hgq2_core
from hgq2_core.cli.main import main
assert hgq2_core.__file__.startswith(site), hgq2_core.__file__
sys.argv = ["hgq2", "plugins", "--json"]
main()
"""
    found = {plugin["name"]: plugin for plugin in json.loads(alone(site, script, tmp_path))}
    assert found.keys() == {"fixed_point", "layers", "training"}
    assert {plugin["state"] for plugin in found.values()} == {"loaded"}
    script = """
import hgq2_core
from hgq2_core.demo import CONFIG
config = hgq2_core.load_config(CONFIG)
data = config.load_data()
print(str(CONFIG).startswith(site), config.build().output_shape, data.test.x.shape)
"""
    assert _last_line(alone(site, script, tmp_path)) == "True (None, 10) (449, 64)"


def test_a_model_without_its_plugin_says_what_to_install(unpacked, tmp_path):
    model = keras.Sequential([keras.Input((4,)), QDense(2)])
    calibrate(model, np.ones((8, 4), np.float32))
    model.save(tmp_path / "model.keras")
    site = unpacked("hgq2_core", "hgq2_fixed_point")
    script = """
import hgq2_core, keras
try:
    keras.saving.load_model("model.keras")
except hgq2_core.HGQ2Error as error:
    print(error)
"""
    assert "pip install hgq2-layers" in _last_line(alone(site, script, tmp_path))


def test_pip_installs_them(wheels, tmp_path):
    _python("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", tmp_path / "t", *wheels.values())
    assert {path.name for path in (tmp_path / "t").glob("hgq2_*") if "-" not in path.name} == PROJECTS.keys()
    assert (tmp_path / "t" / "bin" / "hgq2").exists()
