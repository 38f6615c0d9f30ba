"""What a user installs: the wheels, without the repository around them."""

import email
import json
import os
import re
import site
import subprocess
import sys
import tarfile
import tomllib
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
    assert "hgq2_training/demo/digits.yaml" in training
    assert "hgq2_core/py.typed" in core
    templates = (ROOT / "hgq2_core" / "cli" / "templates").rglob("*.tmpl")
    assert {path.relative_to(ROOT).as_posix() for path in templates} <= set(core)
    assert {"digits_8x8.npz", "japanese_vowels.npz", "magic_gamma.npz", "README.md"} <= {
        Path(name).name for name in training if "/data/" in name
    }
    assert not [name for name in core + training if name.startswith("tests/")]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_each_wheel_holds_licence_types_and_metadata(wheels, project):
    name = tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"].replace("-", "_")
    with ZipFile(wheels[name]) as wheel:
        names = wheel.namelist()
        (licence,) = (each for each in names if each.endswith(".dist-info/licenses/LICENSE"))
        assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
        assert f"{name}/py.typed" in names
        check_metadata(wheel.read(licence.replace("licenses/LICENSE", "METADATA")).decode())


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_each_sdist_holds_licence_types_and_metadata(project, tmp_path):
    build = "import sys; from flit_core import buildapi; print(buildapi.build_sdist(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(tmp_path)]
    file = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout.strip()
    with tarfile.open(tmp_path / file) as sdist:
        files = {name.partition("/")[2]: name for name in sdist.getnames()}
        read = {name: sdist.extractfile(files[name]).read() for name in ("LICENSE", "PKG-INFO")}
    assert read["LICENSE"] == (ROOT / "LICENSE").read_bytes()
    package = file.rsplit("-", 1)[0]
    assert f"{package}/py.typed" in files
    check_metadata(read["PKG-INFO"].decode())


def check_metadata(text):
    metadata = email.message_from_string(text)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Author"] == "The hgq2-core developers"
    assert {"Typing :: Typed", "Programming Language :: Python :: 3"} <= set(metadata.get_all("Classifier"))
    assert metadata["Description-Content-Type"] == "text/markdown"
    targets = re.findall(r"\]\(([^)]*)\)", metadata.get_payload())
    assert [target for target in targets if not target.startswith("https://")] == []


def test_the_extra_all_installs_every_plugin(wheels, tmp_path):
    """In an environment that has the dependencies, but nothing of this repository."""
    others = tmp_path / "others"
    others.mkdir()
    for path in map(Path, site.getsitepackages()):
        for entry in path.iterdir():
            if not re.match("hgq2|__editable__|_?hgq2.*pth", entry.name) and not (others / entry.name).exists():
                (others / entry.name).symlink_to(entry)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    (library,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (library / "others.pth").write_text(str(others))
    python = tmp_path / "venv" / "bin" / "python"
    environment = {**os.environ, "PYTHONPATH": "", "KERAS_BACKEND": keras.backend.backend()}

    def answer(*arguments):
        command = [str(python), *arguments]
        process = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert process.returncode == 0, process.stderr
        return process.stdout

    folder = str(next(iter(wheels.values())).parent)
    answer("-m", "pip", "install", "--quiet", "--no-index", "--no-cache-dir", "-f", folder, "hgq2-core[all]")
    code = "import json, hgq2_core; print(json.dumps([[p.name, p.state, p.location] for p in hgq2_core.plugins()]))"
    names = ("alkaid", "attention", "cpp", "fixed_point", "hls4ml", "layers", "minifloat", "qonnx", "training")
    assert json.loads(answer("-c", code)) == [[name, "loaded", str(library)] for name in names]


def test_installed_wheels_are_found(wheels, tmp_path):
    install(wheels.values(), tmp_path)
    code = "import json, hgq2_core; print(json.dumps([[p.name, p.state, p.location] for p in hgq2_core.plugins()]))"
    assert (tmp_path / "bin" / "hgq2").exists()
    found = json.loads(run(tmp_path, code).stdout)
    names = ("alkaid", "attention", "cpp", "fixed_point", "hls4ml", "layers", "minifloat", "qonnx", "training")
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
    assert "pip install hgq2-layers (not on PyPI yet: pip install ./plugins/layers in a clone)" in result.stdout
